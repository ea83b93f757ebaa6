/**
 * The requests to the server extension (`nbcontainers.server`), and what it answers.
 *
 * Jupyter's token and XSRF header are added by `ServerConnection`, to the stream of changes, too: that is why it is
 * read from `fetch` and not by an `EventSource`, which cannot carry headers.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

/**
 * Chromium drops its requests whenever an interface of the machine comes or goes (ERR_NETWORK_CHANGED), as one does
 * when an engine or a container starts here. None of our requests does harm when it is repeated.
 */
const REPEATS = 3;
const REPEAT_MS = 400;

/** The states that Docker gives a container. */
export type ContainerState =
  'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead';

/** One container. */
export interface IContainer {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly command: string;
  readonly state: ContainerState;
  /** The engine's own words: `Up 3 minutes`, `Exited (0) 2 hours ago`. */
  readonly status: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly ports: string;
}

/** Whether there is an engine; its containers, the newest first. */
export interface IOverview {
  readonly engine: {
    readonly answers: boolean;
    readonly address: string;
    /** Why it does not answer, or empty. */
    readonly message: string;
    /** Whether `startEngine` may be asked for. */
    readonly startable: boolean;
  };
  readonly containers: ReadonlyArray<IContainer>;
}

/** What the server does to a container. */
export type Action = 'start' | 'stop' | 'unpause' | 'remove';

/** Something that happened to a container. */
export interface IChange {
  readonly action: string;
  readonly id: string;
  readonly name: string;
}

/** Ask whether there is an engine, and for its containers. */
export async function fetchOverview(settings: ServerConnection.ISettings): Promise<IOverview> {
  const response = await request('containers', {}, settings);
  return (await response.json()) as IOverview;
}

/** Start this user's engine; it is no error that one runs already. */
export async function startEngine(settings: ServerConnection.ISettings): Promise<void> {
  await request('engine', { method: 'POST' }, settings);
}

/** Have something done to a container; a stop takes as long as the container takes to end. */
export async function act(
  id: string,
  action: Action,
  settings: ServerConnection.ISettings
): Promise<void> {
  await request('actions', { method: 'POST', body: JSON.stringify({ id, action }) }, settings);
}

/** Ask for the last lines that a container has written. */
export async function fetchLogs(
  id: string,
  settings: ServerConnection.ISettings
): Promise<string> {
  const response = await request(`logs?${new URLSearchParams({ id })}`, {}, settings);
  return response.text();
}

/**
 * Follow what happens to containers, until the engine or the server ends it or the signal does.
 *
 * The first item is null: from now on nothing is missed.
 */
export async function* followChanges(
  settings: ServerConnection.ISettings,
  signal: AbortSignal
): AsyncGenerator<IChange | null> {
  const response = await request('events', { signal }, settings);
  if (!response.body) {
    return;
  }
  yield null;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    const blocks = (rest + value).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      // A block without data is a comment, sent to keep the connection alive.
      if (block.startsWith('data: ')) {
        yield JSON.parse(block.slice('data: '.length)) as IChange;
      }
    }
  }
}

async function request(
  path: string,
  init: RequestInit,
  settings: ServerConnection.ISettings
): Promise<Response> {
  const url = URLExt.join(settings.baseUrl, 'nbcontainers', path);
  for (let left = REPEATS; ; left--) {
    try {
      const response = await ServerConnection.makeRequest(url, init, settings);
      if (!response.ok) {
        throw await ServerConnection.ResponseError.create(response);
      }
      return response;
    } catch (error) {
      const lost = error instanceof ServerConnection.NetworkError && !init.signal?.aborted;
      if (!lost || left === 0) {
        throw error;
      }
      await new Promise(resolve => setTimeout(resolve, REPEAT_MS));
    }
  }
}
