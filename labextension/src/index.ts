/**
 * The containers of this user's engine, live, in JupyterLab's side bar.
 *
 * This file only wires. Reading order: `client` (what the server is asked), `model` (what is known, kept up to date),
 * `panel`, `list`, `entry`, `notice` (how it is shown), `commands`, `actions` (what is done to a container), `logs`.
 */
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { actionsOf } from './actions';
import { addCommands, CommandIDs } from './commands';
import { logsIn } from './logs';
import { ContainersModel } from './model';
import { ContainersPanel } from './panel';
import { Settings } from './settings';

const RANK = 450;

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'nbcontainers:panel',
  description: "The containers of this user's engine, in the side bar.",
  autoStart: true,
  optional: [ICommandPalette, ILayoutRestorer, ISettingRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    registry: ISettingRegistry | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('nbcontainers');
    const model = new ContainersModel({
      server: app.serviceManager.serverSettings
    });
    const settings = new Settings(plugin.id, registry, model);
    addCommands({
      commands: app.commands,
      model,
      trans,
      show: () => app.shell.activateById(ContainersPanel.ID),
      saveShowStopped: value => settings.save('showStopped', value)
    });

    const actions = actionsOf({ model, trans, showLogs: logsIn(app.shell, model, trans) });
    const panel = new ContainersPanel({ actions, commands: app.commands, model, trans });
    app.shell.add(panel, 'left', { rank: RANK, type: 'Containers' });
    restorer?.add(panel, ContainersPanel.ID);
    for (const command of Object.values(CommandIDs)) {
      palette?.addItem({ command, category: trans.__('Containers') });
    }
  }
};

export default plugin;
