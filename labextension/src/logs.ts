/** The last lines of a container, in the main area, kept up to date while somebody looks. */
import { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { Poll } from '@lumino/polling';
import { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { IContainer } from './client';
import { containersIcon } from './icons';
import { ContainersModel } from './model';

const REFRESH_MS = 2000;
/** How far from the end the user may have scrolled for the end to stay in sight. */
const END_PX = 40;
const COLOURS = /\x1b\[[0-9;?]*[A-Za-z]/g;

class Logs extends Widget {
  constructor(model: ContainersModel, id: string, trans: TranslationBundle) {
    super({ node: document.createElement('pre') });
    this._trans = trans;
    this.addClass('nbc-Logs');
    this._poll = new Poll({
      auto: false,
      name: 'nbcontainers:logs',
      // Who fails, because the container was removed, is asked less and less often.
      factory: () => model.logs(id).then(text => this._show(text), error => this._fail(error)),
      frequency: { interval: REFRESH_MS, backoff: true },
      standby: () => (this.isVisible ? 'when-hidden' : true)
    });
  }

  override dispose(): void {
    this._poll.dispose();
    super.dispose();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    void this._poll.refresh();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    void this._poll.refresh();
  }

  protected override onActivateRequest(): void {
    this.node.focus();
  }

  private _fail(error: Error): never {
    this.node.dataset.stale = error.message;
    throw error;
  }

  private _show(said: string): void {
    delete this.node.dataset.stale;
    const text = said.replace(COLOURS, '') || this._trans.__('It has written nothing yet.');
    const { scrollHeight, scrollTop, clientHeight } = this.node;
    if (text !== this.node.textContent) {
      this.node.textContent = text;
      if (scrollHeight - scrollTop - clientHeight < END_PX) {
        this.node.scrollTop = this.node.scrollHeight;
      }
    }
  }

  private readonly _trans: TranslationBundle;
  private readonly _poll: Poll;
}

/** Return what brings a container's logs to the front, in a tab of their own. */
export function logsIn(
  shell: JupyterFrontEnd.IShell,
  model: ContainersModel,
  trans: TranslationBundle
): (container: IContainer) => void {
  const open = new Map<string, MainAreaWidget>();
  return container => {
    let tab = open.get(container.id);
    if (!tab) {
      const content = new Logs(model, container.id, trans);
      tab = new MainAreaWidget({ content });
      // After the tab has said that it is any region.
      content.node.tabIndex = 0;
      content.node.setAttribute('role', 'log');
      content.node.setAttribute('aria-label', trans.__('Logs of %1', container.name));
      tab.id = `nbcontainers-logs-${container.id}`;
      tab.title.label = trans.__('Logs: %1', container.name);
      tab.title.icon = containersIcon;
      tab.title.closable = true;
      tab.disposed.connect(() => open.delete(container.id));
      open.set(container.id, tab);
      shell.add(tab, 'main', { type: 'Containers' });
    }
    shell.activateById(tab.id);
  };
}
