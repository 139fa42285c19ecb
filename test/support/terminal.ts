/**
 * Terminals of a server, and WebSockets to them.
 *
 * @module
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { ServerMessage, Terminal } from '../../src/protocol/terminals.ts';
import { connectWebSocket } from '../../src/websocket/client.ts';
import type { WebSocketConnection } from '../../src/websocket/connection.ts';
import { ask, type Reached } from './client.ts';
import { atEnd } from './server.ts';
import { until } from './wait.ts';

/** `false`, or why there are no terminals here. */
export const terminalless: string | false = existsSync('/usr/bin/script') ? false : 'needs script(1)';

/** Why a test that uses a program is passed over; `false`: it is there. */
export function without(program: string): string | false {
  if (terminalless) return terminalless;
  return ['/usr/bin', '/bin', '/usr/local/bin'].some((folder) => existsSync(`${folder}/${program}`)) ? false : `needs ${program}`;
}

/** A shell that greets with nothing but `$ `, and knows nothing of this user. */
export const plainShell = { command: 'exec bash --norc --noprofile -i', env: { PS1: '$ ', HISTFILE: '' } };

/** Opens a terminal. */
export async function openTerminal(server: Reached, body: object = plainShell): Promise<Terminal> {
  const answer = await ask(server, 'POST /terminals', { body });
  if (answer.status !== 201) throw new Error(`There is no terminal: ${answer.status} ${answer.text}`);
  return answer.json<Terminal>();
}

/** Makes the record of a terminal one of a version that did not note the socket: what stands there is believed. */
export function forgetSocket(directory: string): void {
  const path = join(directory, 'terminal.json');
  const { socket, ...record } = JSON.parse(readFileSync(path, 'utf8')) as { socket?: unknown };
  if (socket === undefined) throw new Error(`${path} notes no socket`);
  writeFileSync(path, JSON.stringify(record));
}

export async function showTerminal(server: Reached, id: string): Promise<Terminal> {
  return (await ask(server, `GET /terminals/${id}`)).json<Terminal>();
}

export interface Talk {
  readonly socket: WebSocketConnection;
  /** The output so far; without what only counts, if `options.counts`. */
  readonly text: () => string;
  readonly bytes: () => number;
  readonly controls: readonly ServerMessage[];
  /** Of the type asked for, the last one. */
  readonly control: <T extends ServerMessage['type']>(type: T) => Extract<ServerMessage, { type: T }> | undefined;
  readonly say: (message: object) => void;
  readonly type: (data: string) => void;
  /** Resolves with the output once it fits, as it is. */
  readonly shows: (what: RegExp | string) => Promise<string>;
  readonly hears: <T extends ServerMessage['type']>(type: T) => Promise<Extract<ServerMessage, { type: T }>>;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly leave: () => void;
}

export interface TalkOptions {
  readonly protocols?: readonly string[];
  readonly key?: string | null;
  /** Gets the output in place of {@link Talk.text}, which stays empty. */
  readonly onOutput?: (data: string | Buffer) => void;
}

/** Opens a WebSocket. @param path With its query. */
export async function talk(t: TestContext, server: Reached, path: string, options: TalkOptions = {}): Promise<Talk> {
  const { protocols = [], key = server.key, onOutput } = options;
  const socket = await connectWebSocket(new URL(path, server.url), {
    headers: key === null ? {} : { 'X-API-Key': key }, protocols, messageBytes: 16 * 2 ** 20,
  });
  atEnd(t, () => socket.terminate());
  const controls: ServerMessage[] = [];
  let text = '';
  let bytes = 0;
  const closed = new Promise<{ code: number; reason: string }>((resolve) => { socket.onClose = resolve; });
  let isClosed = false;
  void closed.then(() => { isClosed = true; });
  socket.onMessage = (data) => {
    if (typeof data === 'string' && data.startsWith('\0')) return void controls.push(JSON.parse(data.slice(1)) as ServerMessage);
    bytes += Buffer.byteLength(data);
    if (onOutput) onOutput(data);
    else text += data.toString();
  };
  const control: Talk['control'] = (type) => controls.findLast((one) => one.type === type) as never;
  const say = (message: object): void => void socket.send(JSON.stringify(message));
  return {
    socket, controls, control, say, closed,
    text: () => text, bytes: () => bytes,
    type: (data) => say({ type: 'input', data }),
    shows: async (what) => {
      const fits = (): boolean => (typeof what === 'string' ? text.includes(what) : what.test(text));
      await until(() => {
        if (!fits() && isClosed) throw new Error(`It closed without ${String(what)}: ${JSON.stringify(text.slice(-2000))}`);
        return fits();
      }, { what: `the terminal shows ${String(what)}` }).catch((error: Error) => {
        throw new Error(`${error.message}; it shows ${JSON.stringify(text.slice(-2000))}`);
      });
      return text;
    },
    hears: async (type) => await until(
      () => control(type), { what: `the server says ${type}`, limitMs: 120_000 },
    ) as never,
    leave: () => socket.close(),
  };
}

/** Attaches to a terminal. */
export function attachTo(t: TestContext, server: Reached, id: string, query = '', options: TalkOptions = {}): Promise<Talk> {
  return talk(t, server, `/terminals/${id}/attach${query}`, options);
}
