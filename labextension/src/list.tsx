/** The list of containers, or the notice in its place. */
import { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IActions } from './actions';
import { IContainer } from './client';
import { Entry } from './entry';
import { ContainersModel } from './model';
import { Notice } from './notice';

export class ContainerList extends ReactWidget {
  constructor(model: ContainersModel, actions: IActions, trans: TranslationBundle) {
    super();
    this.addClass('nbc-List');
    this._model = model;
    this._actions = actions;
    this._trans = trans;
  }

  protected override render(): JSX.Element {
    return (
      <UseSignal signal={this._model.changed}>
        {() => <Body model={this._model} actions={this._actions} trans={this._trans} />}
      </UseSignal>
    );
  }

  private readonly _model: ContainersModel;
  private readonly _actions: IActions;
  private readonly _trans: TranslationBundle;
}

interface IBodyProps {
  readonly model: ContainersModel;
  readonly actions: IActions;
  readonly trans: TranslationBundle;
}

function Body({ model, actions, trans }: IBodyProps): JSX.Element {
  const answers = model.overview?.engine.answers ?? false;
  const shown = (model.overview?.containers ?? []).filter(
    container => model.showStopped || runs(container)
  );
  // An old list is worth more than none, as long as it says that it is old.
  const stale = answers && model.failure !== '';
  return (
    <>
      {/* What screen readers hear when the list changes. */}
      <p role="status" className="nbc-List-summary" data-stale={stale}>
        {stale
          ? trans.__('Not up to date: %1', model.failure)
          : answers
            ? summary(shown, trans)
            : ''}
      </p>
      {answers && shown.length > 0 ? (
        <ul className="nbc-List-entries" aria-label={trans.__('Containers')}>
          {shown.map(container => (
            <Entry
              key={container.id}
              container={container}
              busy={model.isBusy(container.id)}
              actions={actions}
              trans={trans}
            />
          ))}
        </ul>
      ) : (
        <Notice
          model={model}
          trans={trans}
          // The model tells why it failed where the button was.
          onStart={() => void model.start().catch(() => undefined)}
        />
      )}
    </>
  );
}

function summary(shown: ReadonlyArray<IContainer>, trans: TranslationBundle): string {
  if (!shown.length) {
    return '';
  }
  const running = shown.filter(runs).length;
  const stopped = shown.length - running;
  return stopped
    ? trans.__('%1 running, %2 stopped', running, stopped)
    : trans.__('%1 running', running);
}

/** Say whether a container has processes: one that is paused has, too. */
function runs({ state }: IContainer): boolean {
  return state === 'running' || state === 'paused' || state === 'restarting';
}
