/** The user's settings (`schema/panel.json`), applied to the model, now and whenever they change. */
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { ContainersModel } from './model';

export class Settings {
  /**
   * @param registry - Where there is none, the model's own defaults hold, and nothing is saved.
   */
  constructor(plugin: string, registry: ISettingRegistry | null, model: ContainersModel) {
    this._plugin = plugin;
    this._registry = registry;
    this._model = model;
    registry?.load(plugin).then(
      settings => {
        this._apply(settings);
        settings.changed.connect(this._apply, this);
      },
      (error: unknown) => {
        console.error(`nbcontainers: the settings cannot be read: ${error}`);
      }
    );
  }

  save(key: 'showStopped', value: boolean): void {
    this._registry?.set(this._plugin, key, value).catch((error: unknown) => {
      console.error(`nbcontainers: '${key}' cannot be saved: ${error}`);
    });
  }

  private _apply(settings: ISettingRegistry.ISettings): void {
    this._model.showStopped = settings.get('showStopped').composite as boolean;
    this._model.refreshSeconds = settings.get('refreshSeconds').composite as number;
  }

  private readonly _plugin: string;
  private readonly _registry: ISettingRegistry | null;
  private readonly _model: ContainersModel;
}
