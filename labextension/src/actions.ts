/** What can be done to a container from its entry, with the question and the refusal that belong to it. */
import { Dialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { deleteIcon, LabIcon, runIcon, stopIcon, textEditorIcon } from '@jupyterlab/ui-components';

import { Action, ContainerState, IContainer } from './client';
import { ContainersModel } from './model';

/** Called when the user has chosen something. */
export type IActions = (container: IContainer, action: Action | 'logs') => void;

/** A button. */
export interface Offer {
  readonly action: Action | 'logs';
  readonly label: string;
  readonly icon: LabIcon;
}

const OFFERED: Record<ContainerState, ReadonlyArray<Action | 'logs'>> = {
  created: ['start', 'remove'],
  running: ['logs', 'stop'],
  paused: ['logs', 'unpause', 'stop'],
  restarting: ['logs', 'stop'],
  removing: [],
  exited: ['logs', 'start', 'remove'],
  dead: ['logs', 'remove']
};

/** Return the buttons of a container, as its state has them. */
export function offers({ state }: IContainer, trans: TranslationBundle): Offer[] {
  const known: Record<Action | 'logs', Omit<Offer, 'action'>> = {
    logs: { label: trans.__('Show logs'), icon: textEditorIcon },
    start: { label: trans.__('Start'), icon: runIcon },
    stop: { label: trans.__('Stop'), icon: stopIcon },
    unpause: { label: trans.__('Let it go on'), icon: runIcon },
    remove: { label: trans.__('Remove'), icon: deleteIcon }
  };
  // An engine of another version may know another state.
  return (OFFERED[state] ?? []).map(action => ({ action, ...known[action] }));
}

export interface IActionsOptions {
  readonly model: ContainersModel;
  readonly trans: TranslationBundle;
  readonly showLogs: (container: IContainer) => void;
}

/** Return what does what the user has chosen. */
export function actionsOf({ model, trans, showLogs }: IActionsOptions): IActions {
  const perform = async (container: IContainer, action: Action | 'logs'): Promise<void> => {
    if (action === 'logs') {
      showLogs(container);
    } else if (action !== 'remove' || (await mayRemove(container, trans))) {
      await model.act(container.id, action);
    }
  };
  return (container, action) =>
    void perform(container, action).catch((error: Error) =>
      showErrorMessage(container.name, error.message)
    );
}

async function mayRemove({ name }: IContainer, trans: TranslationBundle): Promise<boolean> {
  const answer = await showDialog({
    title: trans.__('Remove %1?', name),
    body: trans.__('What it has written outside of volumes is gone then, and its logs.'),
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Remove') })]
  });
  return answer.button.accept;
}
