/**
 * Terminals: requests, answers, and the messages of a WebSocket.
 * @module
 */
import {
  type Parsed, type Parser, ParseError, boolean, described, flag, fieldsOf, fromJson, fromText, integer, object, oneOf,
  optional, optionalText, parser, record, text,
} from '../base/parse.ts';
import { list, maybe, number, only, orNull, seconds, shape, string, integer as whole, word } from './answer.ts';
import { type JobId, jobId } from './ids.ts';

/** Has the format of a job id, and marks all processes of the terminal as a job id does. */
export type TerminalId = JobId;
export const terminalId: Parser<TerminalId> = jobId;

/** `lost`: the process that held the terminal was killed, and the outcome is unknown. */
export type TerminalStatus = 'running' | 'ended' | 'lost';

/** Why a terminal ended. */
export const terminalReasons: readonly ['exit', 'closed', 'idle', 'lifetime', 'disconnected', 'lost'] =
  ['exit', 'closed', 'idle', 'lifetime', 'disconnected', 'lost'];
export type TerminalReason = (typeof terminalReasons)[number];

export const terminalBackends: readonly ['@lydell/node-pty', 'node-pty', 'script'] =
  ['@lydell/node-pty', 'node-pty', 'script'];
/** The programs that open pseudo-terminals. */
export type TerminalBackend = (typeof terminalBackends)[number];

/** The size of a terminal, in characters. */
export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}

export const defaultSize: TerminalSize = { cols: 80, rows: 24 };

/** A terminal as in the answer to `GET /terminals/{id}`. Times are Unix seconds with a fraction. */
export interface Terminal {
  readonly terminalId: TerminalId;
  readonly name: string | null;
  readonly status: TerminalStatus;
  /** `null` while it runs. */
  readonly reason: TerminalReason | null;
  /** `null`: the user's shell. */
  readonly command: string | null;
  readonly workdir: string;
  readonly cols: number;
  readonly rows: number;
  /** The pid of the program, which is also its session and process group. */
  readonly pid: number;
  readonly backend: TerminalBackend;
  /** The terminal belongs to one WebSocket of `/terminal` and ends with it. */
  readonly ofConnection: boolean;
  /** How many clients are attached. */
  readonly attached: number;
  readonly createdAt: number;
  /** The time of the last input or output. */
  readonly lastActivityAt: number;
  readonly finishedAt: number | null;
  /** The exit code of the program, 128+n for signal n, -1 where it is unknown. Absent while it runs. */
  readonly exitCode?: number;
  /** Warnings for the client, in words. Absent where there are no warnings. */
  readonly warnings?: readonly string[];
}

export const terminal = shape<Terminal>({
  terminalId,
  name: orNull(string),
  status: word('running', 'ended', 'lost'),
  reason: orNull(word(...terminalReasons)),
  command: described('null: the shell of the user', orNull(string)),
  workdir: string,
  cols: whole,
  rows: whole,
  pid: whole,
  backend: word(...terminalBackends),
  ofConnection: described('It ends with the WebSocket that it was made for', boolean),
  attached: whole,
  createdAt: seconds,
  lastActivityAt: seconds,
  finishedAt: orNull(number),
  exitCode: maybe(described('128+n for signal n, -1 unknown; absent while it runs', whole)),
  warnings: maybe(described('What its caller should know, in words; absent: nothing', list(string))),
}, { name: 'a terminal', relies: ['terminalId', 'status'] });

export interface TerminalList {
  readonly terminals: readonly Terminal[];
}

export const terminalList = shape<TerminalList>(
  { terminals: list(terminal) }, { name: 'a list of terminals', relies: ['terminals'] },
);

export interface TerminalDeleted {
  readonly deleted: true;
  readonly terminalId: TerminalId;
}

export const terminalDeleted = shape<TerminalDeleted>({ deleted: only(true), terminalId });

export const terminalSize = shape<TerminalSize>({ cols: whole, rows: whole });

/** Limit on columns and on rows. */
const longestSide = 10_000;
/** Quoted for a shell, the command must still fit in one argument of at most 128 KiB (MAX_ARG_STRLEN, execve(2)). */
const longestCommand = 32_000;
const side = integer({ min: 1, max: longestSide });
const command = described(
  'Run by `/bin/sh -c`. Default: the shell of the user.',
  optionalText(text({ min: 1, max: longestCommand })),
);
const workdir = described(
  'An existing directory; `~` and `~/…` are in the home directory of the server. Default: where the server runs.',
  optionalText(text({ max: 4096 })),
);
const variable = text({ min: 1, max: 4096, pattern: /^[^=]+$/, expected: 'a name that is not empty and has no "="' });

/** The body of `POST /terminals`. All fields are optional. */
export const terminalRequest = object({
  command,
  workdir,
  env: described(
    'Laid over the environment of the server.',
    optional(record(variable, text({ max: 30_000 }), { max: 4096 })),
  ),
  cols: described('Default 80.', optional(side)),
  rows: described('Default 24.', optional(side)),
  name: described('To find it again.', optionalText(text({ max: 256 }))),
});
export type TerminalRequest = Parsed<typeof terminalRequest>;

/** The query of a WebSocket with a terminal of its own. */
export const ownTerminalQuery = object({
  command: described(
    'Typed into the shell of the user, which stays when it has ended. Default: nothing.',
    optionalText(text({ min: 1, max: longestCommand })),
  ),
  workdir, cols: optional(fromText(side)), rows: optional(fromText(side)),
});
export type OwnTerminalQuery = Parsed<typeof ownTerminalQuery>;

export const attachQuery = object({
  readonly: described('Only looks: its input is refused, and it has no say in the size.', optional(flag)),
  after: described(
    'How many bytes of the output are known already: it continues after them. Default: the scrollback first.',
    optional(fromText(integer({ min: 0, max: Number.MAX_SAFE_INTEGER }))),
  ),
});
export type AttachQuery = Parsed<typeof attachQuery>;

export const screenQuery = object({
  raw: described('The bytes as they came, escape sequences and all.', optional(flag)),
});
export type ScreenQuery = Parsed<typeof screenQuery>;

/** Limit on the input of one message. */
const longestInput = 2 ** 20;
const typed = text({ max: longestInput, allowNul: true });

export const inputRequest = object({ data: described('Typed as it is.', typed) });
export type InputRequest = Parsed<typeof inputRequest>;

export interface InputAccepted {
  readonly writtenBytes: number;
}
export const inputAccepted = shape<InputAccepted>({ writtenBytes: whole });

export const sizeRequest: Parser<TerminalSize> = object({ cols: side, rows: side });

// Messages of a WebSocket. --------------------------------------------------------------------------------------------

/** The subprotocol with output in binary frames. */
export const binaryProtocol = 'sidecar.v1';

/** A client's message: a text message with JSON. */
export type ClientMessage =
  | { readonly type: 'input'; readonly data: string }
  | { readonly type: 'resize'; readonly cols: number; readonly rows: number }
  | { readonly type: 'ping' };

/** The server's messages beside the output: they begin with a NUL, with which no output in a text message begins. */
export type ServerMessage =
  | { readonly type: 'pong' }
  | { readonly type: 'error'; readonly message: string }
  /** The replay begins: the offset of the next byte, the number of bytes so far, and the size. */
  | {
    readonly type: 'attached'; readonly terminalId: string;
    readonly offset: number; readonly end: number;
    readonly cols: number; readonly rows: number
  }
  /** These bytes were skipped, as the client read too slowly; the next byte is the one at `offset`. */
  | { readonly type: 'skipped'; readonly bytes: number; readonly offset: number }
  | { readonly type: 'exit'; readonly exitCode: number; readonly reason: TerminalReason };

const messageType = fieldsOf({ type: oneOf('input', 'resize', 'ping') });
// Further fields are ignored: front ends send more.
const inputMessage = fieldsOf({ data: typed });
const resizeMessage = fieldsOf({ cols: side, rows: side });

/** Parses a text message of a client. @throws ParseError */
export function parseClientMessage(content: string): ClientMessage {
  if (content === '') throw new ParseError('message', 'expected JSON, received nothing');
  return fromJson(clientMessage, content, 'message');
}

const clientMessage: Parser<ClientMessage> = parser({ type: 'object' }, (value, path) => {
  const { type } = messageType(value, path);
  switch (type) {
    case 'input': return { type, data: inputMessage(value, path).data };
    case 'resize': return { type, ...resizeMessage(value, path) };
    case 'ping': return { type };
  }
});
