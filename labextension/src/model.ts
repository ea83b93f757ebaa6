/**
 * What the panel shows, kept up to date while somebody looks.
 *
 * The list is asked for anew whenever the engine tells a change, and every few seconds besides: uptimes grow, and a
 * proxy may swallow the stream. Nothing is asked while the panel or the browser's tab is hidden, and after failures
 * less and less often.
 */
import { ServerConnection } from '@jupyterlab/services';
import { IDisposable } from '@lumino/disposable';
import { Poll, Throttler } from '@lumino/polling';
import { ISignal, Signal } from '@lumino/signaling';

import { act, Action, fetchLogs, fetchOverview, followChanges, IOverview, startEngine } from './client';

/** A burst of events, such as the end of thirty containers, is one request in so many milliseconds. */
const BURST_MS = 100;
/** A stream that ended is opened again so long after. */
const REOPEN_MS = 1000;
/** Until the settings say otherwise. */
const REFRESH_SECONDS = 15;
const SLOWEST_MS = 60_000;

export class ContainersModel implements IDisposable {
  constructor(options: ContainersModel.IOptions) {
    this._server = options.server;
    this._poll = new Poll({
      auto: false,
      name: 'nbcontainers:containers',
      factory: () => (this._loading ??= this._load()),
      frequency: frequency(REFRESH_SECONDS),
      standby: () => (this._watched ? 'when-hidden' : true)
    });
    this._burst = new Throttler(() => this.refresh(), {
      limit: BURST_MS,
      edge: 'trailing'
    });
    document.addEventListener('visibilitychange', this._onVisibility);
  }

  /** What the server said last, or null before its first answer. */
  get overview(): IOverview | null {
    return this._overview;
  }

  /** Why the server could not be asked, or empty. */
  get failure(): string {
    return this._failure;
  }

  /** Whether an engine is being started. */
  get starting(): boolean {
    return this._starting;
  }

  get showStopped(): boolean {
    return this._showStopped;
  }
  set showStopped(value: boolean) {
    this._showStopped = value;
    this._changed.emit();
  }

  set refreshSeconds(value: number) {
    this._poll.frequency = frequency(value);
  }

  /** Whether somebody looks: the panel is shown. */
  set watched(value: boolean) {
    this._watched = value;
    if (value) {
      this.refresh();
    } else {
      this._unfollow();
    }
  }

  /** Emitted after any of the above has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._poll.isDisposed;
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    document.removeEventListener('visibilitychange', this._onVisibility);
    this._unfollow();
    this._burst.dispose();
    this._poll.dispose();
    Signal.clearData(this);
  }

  /** Ask for the list anew. */
  refresh(): void {
    this._outdated = true;
    void this._poll.refresh();
  }

  /** Start this user's engine, because the user says so. */
  async start(): Promise<void> {
    this._starting = true;
    this._changed.emit();
    try {
      await startEngine(this._server);
      this._failure = '';
    } catch (error) {
      this._failure = reason(error);
      throw error;
    } finally {
      this._starting = false;
      this._changed.emit();
      this.refresh();
    }
  }

  /** Whether something is being done to a container. */
  isBusy(id: string): boolean {
    return this._busy.has(id);
  }

  /** Do something to a container, because the user says so. */
  async act(id: string, action: Action): Promise<void> {
    this._busy.add(id);
    this._changed.emit();
    try {
      await act(id, action, this._server);
    } finally {
      this._busy.delete(id);
      this._changed.emit();
      this.refresh();
    }
  }

  /** Return the last lines that a container has written. */
  logs(id: string): Promise<string> {
    return fetchLogs(id, this._server);
  }

  private async _load(): Promise<void> {
    try {
      // What changes while an answer is on its way is not in it.
      do {
        this._outdated = false;
        this._overview = await fetchOverview(this._server);
      } while (this._outdated);
      this._failure = '';
    } catch (error) {
      this._failure = reason(error);
      throw error;
    } finally {
      this._loading = null;
      this._changed.emit();
    }
    if (this._overview.engine.answers) {
      void this._follow();
    }
  }

  /** Follow the engine's events, one stream at a time, as long as somebody looks. */
  private async _follow(): Promise<void> {
    if (this._following || !this._watched || document.hidden) {
      return;
    }
    const following = (this._following = new AbortController());
    try {
      for await (const change of followChanges(this._server, following.signal)) {
        if (change) {
          void this._burst.invoke();
        } else {
          // Between the list and the stream something may have happened.
          this.refresh();
        }
      }
    } catch (error) {
      if (!following.signal.aborted) {
        console.debug('nbcontainers: the events ended', error);
      }
    }
    if (this._following === following) {
      this._following = null;
      void this._poll.schedule({ interval: REOPEN_MS, phase: 'standby' });
    }
  }

  private _unfollow(): void {
    const following = this._following;
    this._following = null;
    following?.abort();
  }

  private _onVisibility = (): void => {
    if (document.hidden) {
      this._unfollow();
    } else if (this._watched) {
      this.refresh();
    }
  };

  private readonly _server: ServerConnection.ISettings;
  private readonly _poll: Poll<void, Error>;
  private readonly _burst: Throttler<void>;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _busy = new Set<string>();
  private _following: AbortController | null = null;
  private _overview: IOverview | null = null;
  private _failure = '';
  private _loading: Promise<void> | null = null;
  private _outdated = false;
  private _showStopped = true;
  private _starting = false;
  private _watched = false;
}

export namespace ContainersModel {
  export interface IOptions {
    readonly server: ServerConnection.ISettings;
  }
}

function frequency(seconds: number): Poll['frequency'] {
  const interval = seconds * 1000;
  return { interval, backoff: true, max: Math.max(interval, SLOWEST_MS) };
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
