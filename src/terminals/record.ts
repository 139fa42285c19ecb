/**
 * The files of a terminal on disk.
 * @module
 */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import {
  type Parser, array, boolean, fieldsOf, integer, nullable, number, oneOf, optional, text,
} from '../base/parse.ts';
import type { Idempotency } from '../process/state/idempotency.ts';
import { type Identity, isAliveNow, isExiting, readWords } from '../process/identity.ts';
import { isJobId } from '../protocol/ids.ts';
import {
  type TerminalBackend, type TerminalId, type TerminalReason, terminalBackends, terminalId, terminalReasons,
} from '../protocol/terminals.ts';

const unixSeconds = number({ min: 0, max: 2 ** 40 });
const identity = fieldsOf({ pid: integer({ min: 2, max: 2 ** 31 - 1 }), startTime: text() });
const side = integer({ min: 1, max: 65_535 });

const titleStart = 'sidecar-terminal';

/**
 * The title of a holder, as `ps` shows it: the terminal's id, and a mark of the server's folder, which tells whose
 * terminal it is wherever its directory is moved.
 *
 * @param folder Directory of all terminals of a server.
 * @throws The system's error where it is missing.
 */
export function holderTitle(id: string, folder: string): string {
  return `${titleStart} ${id} ${folderMark(folder)}`;
}

/** Parses a title. `mark` is `undefined` in a title of an earlier version. */
export function parseHolderTitle(
  title: string,
): { readonly id: TerminalId; readonly mark: string | undefined } | undefined {
  const [start, id = '', mark] = title.trim().split(' ');
  return start === titleStart && isJobId(id) ? { id, mark } : undefined;
}

/**
 * Whether the process may be the holder of that terminal: it has ended, or its title says so. Always `true` except on
 * Linux, which has the titles in `/proc`.
 *
 * @throws The system's error where it cannot look, for example for lack of file descriptors.
 */
export function mayHold(id: string, holder: Identity): boolean {
  if (process.platform !== 'linux' || !isAliveNow(holder)) return true;
  const [title = ''] = readWords(holder.pid);
  // It has no title any more while it exits. A kernel thread never has one.
  return parseHolderTitle(title)?.id === id || (title === '' && isExiting(holder.pid));
}

/** A hash that tells the terminals of one server from those of other servers on the machine. */
export function folderMark(folder: string): string {
  return createHash('sha256').update(realpathSync(folder)).digest('hex').slice(0, 16);
}

/** `terminal.json`, written once the program runs. */
export interface TerminalRecord {
  readonly terminalId: TerminalId;
  readonly name: string | null;
  /** `null`: the user's shell. */
  readonly command: string | null;
  readonly workdir: string;
  readonly warnings?: readonly string[] | undefined;
  readonly backend: TerminalBackend;
  /** The terminal ends with the connection that it was made for. */
  readonly ofConnection: boolean;
  /** The request that opened it, if that may be repeated. */
  readonly idempotency?: Idempotency | undefined;
  /** Unix seconds. */
  readonly createdAt: number;
  readonly cols: number;
  readonly rows: number;
  /** The process that holds the terminal. */
  readonly holder: Identity;
  /** Id of the holder's socket; `undefined` in a record of an earlier version. */
  readonly socket?: string | undefined;
  /** The program on the terminal. */
  readonly program: Identity;
}

/** `exit`, written once the terminal has ended. */
export interface TerminalExit {
  /** -1: unknown. */
  readonly exitCode: number;
  readonly reason: TerminalReason;
  readonly finishedAt: number;
  readonly lastActivityAt: number;
  readonly cols: number;
  readonly rows: number;
  /** Length of all output; the scrollback is the end of it. */
  readonly outputBytes: number;
}

const record: Parser<TerminalRecord> = fieldsOf({
  terminalId, name: nullable(text()), command: nullable(text()), workdir: text(),
  warnings: optional(array(text(), { max: 100 })), backend: oneOf(...terminalBackends), ofConnection: boolean,
  idempotency: optional(fieldsOf({ key: text(), hash: text() })), createdAt: unixSeconds,
  cols: side, rows: side, holder: identity,
  socket: optional(text()), program: identity,
});

const exit: Parser<TerminalExit> = fieldsOf({
  exitCode: integer({ min: -1, max: 255 }), reason: oneOf(...terminalReasons),
  finishedAt: unixSeconds, lastActivityAt: unixSeconds,
  cols: side, rows: side, outputBytes: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
});

/** @throws ParseError */
export function parseTerminalRecord(value: unknown): TerminalRecord {
  return record(value, 'terminal.json');
}

/** @throws ParseError */
export function parseTerminalExit(value: unknown): TerminalExit {
  return exit(value, 'exit');
}
