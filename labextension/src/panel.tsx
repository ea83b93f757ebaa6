/** The panel in the side bar: a heading with buttons, and the list below it. */
import { TranslationBundle } from '@jupyterlab/translation';
import { CommandToolbarButton, Toolbar } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { Message } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';

import { IActions } from './actions';
import { CommandIDs } from './commands';
import { containersIcon } from './icons';
import { ContainerList } from './list';
import { ContainersModel } from './model';

export class ContainersPanel extends Panel {
  constructor(options: ContainersPanel.IOptions) {
    super();
    const { actions, commands, model, trans } = options;
    this._model = model;
    this.id = ContainersPanel.ID;
    this.addClass('nbc-Panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Containers'));
    this.title.icon = containersIcon;
    this.title.caption = trans.__('Containers');
    const toolbar = new Toolbar();
    toolbar.node.setAttribute('aria-label', trans.__('Containers'));
    toolbar.addItem('title', heading(trans.__('Containers')));
    toolbar.addItem('spacer', Toolbar.createSpacerItem());
    for (const id of [CommandIDs.toggleStopped, CommandIDs.refresh]) {
      const button = new CommandToolbarButton({ commands, id, label: '' });
      toolbar.addItem(id, button);
    }
    this.addWidget(toolbar);
    this.addWidget(new ContainerList(model, actions, trans));
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._model.dispose();
      super.dispose();
    }
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._model.watched = true;
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this._model.watched = false;
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._model.watched = this.isVisible;
  }

  protected override onBeforeDetach(message: Message): void {
    this._model.watched = false;
    super.onBeforeDetach(message);
  }

  private readonly _model: ContainersModel;
}

export namespace ContainersPanel {
  export const ID = 'nbcontainers-panel';

  export interface IOptions {
    readonly actions: IActions;
    readonly commands: CommandRegistry;
    readonly model: ContainersModel;
    readonly trans: TranslationBundle;
  }
}

function heading(text: string): Widget {
  const node = document.createElement('h2');
  node.className = 'nbc-Panel-heading';
  node.textContent = text;
  return new Widget({ node });
}
