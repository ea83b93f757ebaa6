/** One container in the list. */
import { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { IActions, Offer, offers } from './actions';
import { ContainerState, IContainer } from './client';
import { ago } from './times';

export interface IEntryProps {
  readonly container: IContainer;
  /** Whether something is being done to it. */
  readonly busy: boolean;
  readonly actions: IActions;
  readonly trans: TranslationBundle;
}

export function Entry({ container, busy, actions, trans }: IEntryProps): JSX.Element {
  const { id, name, image, command, state, status, created, ports } = container;
  const moment = new Date(created * 1000);
  return (
    <li
      className="nbc-Entry"
      data-state={state}
      data-container={id}
      title={trans.__('%1\nid: %2\ncommand: %3', name, id.slice(0, 12), command)}
    >
      <div className="nbc-Entry-head">
        <span className="nbc-Entry-name">{name}</span>
        <span className="nbc-Badge" data-state={state}>
          {stateName(state, trans)}
        </span>
      </div>
      <div className="nbc-Entry-facts">
        <span className="nbc-Entry-image">{image}</span>
        <time dateTime={moment.toISOString()} title={moment.toLocaleString()}>
          {trans.__('created %1', ago(created))}
        </time>
      </div>
      <div className="nbc-Entry-facts nbc-Entry-state">
        <span className="nbc-Entry-status">{status}</span>
        <span className="nbc-Entry-actions">
          {offers(container, trans).map((offer, place) => (
            // By its place: where Stop becomes Start, the keyboard's focus stays.
            <ActionButton key={place} {...{ offer, busy, container, actions }} />
          ))}
        </span>
      </div>
      {ports && <div className="nbc-Entry-ports">{ports}</div>}
    </li>
  );
}

interface IActionButtonProps {
  readonly offer: Offer;
  readonly busy: boolean;
  readonly container: IContainer;
  readonly actions: IActions;
}

function ActionButton({ offer, busy, container, actions }: IActionButtonProps): JSX.Element {
  return (
    <button
      className="nbc-Action"
      // Not disabled: that would take the keyboard's focus away while it works.
      aria-disabled={busy}
      aria-label={`${offer.label}: ${container.name}`}
      title={offer.label}
      onClick={() => busy || actions(container, offer.action)}
    >
      <offer.icon.react tag="span" />
    </button>
  );
}

function stateName(state: ContainerState, trans: TranslationBundle): string {
  switch (state) {
    case 'created':
      return trans.__('created');
    case 'running':
      return trans.__('running');
    case 'paused':
      return trans.__('paused');
    case 'restarting':
      return trans.__('restarting');
    case 'removing':
      return trans.__('removing');
    case 'exited':
      return trans.__('exited');
    case 'dead':
      return trans.__('dead');
    default:
      return state;
  }
}
