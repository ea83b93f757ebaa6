/** The panel's commands, for its toolbar, the command palette and keyboard shortcuts. */
import { TranslationBundle } from '@jupyterlab/translation';
import { filterIcon, refreshIcon } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';

import { containersIcon } from './icons';
import { ContainersModel } from './model';

export namespace CommandIDs {
  export const show = 'nbcontainers:show';
  export const refresh = 'nbcontainers:refresh';
  export const toggleStopped = 'nbcontainers:toggle-stopped';
}

export interface ICommandsOptions {
  readonly commands: CommandRegistry;
  readonly model: ContainersModel;
  readonly trans: TranslationBundle;
  /** Bring the panel to the front. */
  readonly show: () => void;
  /** Keep the user's wish, so that it holds the next time as well. */
  readonly saveShowStopped: (value: boolean) => void;
}

export function addCommands(options: ICommandsOptions): void {
  const { commands, model, trans, show, saveShowStopped } = options;
  commands.addCommand(CommandIDs.show, {
    label: trans.__('Show Containers'),
    icon: containersIcon,
    execute: show
  });
  commands.addCommand(CommandIDs.refresh, {
    label: trans.__('Refresh the List of Containers'),
    caption: trans.__('Refresh the list'),
    icon: refreshIcon,
    execute: () => model.refresh()
  });
  commands.addCommand(CommandIDs.toggleStopped, {
    label: trans.__('Hide Stopped Containers'),
    caption: trans.__('Hide stopped containers'),
    icon: filterIcon,
    isToggleable: true,
    isToggled: () => !model.showStopped,
    execute: () => {
      model.showStopped = !model.showStopped;
      saveShowStopped(model.showStopped);
    }
  });
  model.changed.connect(() => commands.notifyCommandChanged(CommandIDs.toggleStopped));
}
