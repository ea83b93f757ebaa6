/** What stands in the list's place when there is nothing to list: why, and what can be done. */
import { TranslationBundle } from '@jupyterlab/translation';
import { Button } from '@jupyterlab/ui-components';
import * as React from 'react';

import { ContainersModel } from './model';

export interface INoticeProps {
  readonly model: ContainersModel;
  readonly trans: TranslationBundle;
  readonly onStart: () => void;
}

export function Notice({ model, trans, onStart }: INoticeProps): JSX.Element {
  const engine = model.overview?.engine;
  if (!engine) {
    return model.failure ? (
      <Message title={trans.__('No answer from Jupyter')} details={model.failure} />
    ) : (
      <Message title={trans.__('Looking for an engine …')} />
    );
  }
  if (!engine.answers) {
    return (
      <Message
        title={
          engine.startable
            ? trans.__('No engine is running')
            : trans.__('The engine cannot be reached')
        }
        details={model.failure || engine.message}
      >
        {engine.startable && (
          <Button
            className="nbc-Notice-start jp-mod-styled jp-mod-accept"
            disabled={model.starting}
            onClick={onStart}
          >
            {model.starting ? trans.__('Starting …') : trans.__('Start the engine')}
          </Button>
        )}
      </Message>
    );
  }
  if (model.overview?.containers.length) {
    return (
      <Message
        title={trans.__('No container is running')}
        details={trans.__('Stopped ones are hidden; the toolbar shows them again.')}
      />
    );
  }
  return (
    <Message
      title={trans.__('No containers yet')}
      details={trans.__('Run one from a notebook cell:')}
    >
      <pre className="nbc-Notice-example">{'%load_ext nbcontainers\n%container run host date'}</pre>
    </Message>
  );
}

interface IMessageProps {
  readonly title: string;
  readonly details?: string;
  readonly children?: React.ReactNode;
}

function Message({ title, details, children }: IMessageProps): JSX.Element {
  return (
    <div className="nbc-Notice">
      <h3 className="nbc-Notice-title">{title}</h3>
      {details && <p className="nbc-Notice-details">{details}</p>}
      {children}
    </div>
  );
}
