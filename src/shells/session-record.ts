/**
 * A persistent shell on disk.
 *
 * ```
 * shells/<hash of the key>/  shell.json   what the session is, and how often its shell was started
 *                            run-<n>/     one start: control (FIFO), process and exit as in a job's directory,
 *                                         job (the one that the shell has)
 * ```
 * @module
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { replaceFile } from '../base/files/atomic-file.ts';
import { defined } from '../base/defined.ts';
import { readJson, recordBounds } from '../base/files/untrusted-json.ts';
import { type Parser, fieldsOf, integer, number, oneOf, optional, record, text } from '../base/parse.ts';
import { type ShellKind, shellKinds } from '../protocol/shells.ts';

export interface SessionRecord {
  readonly sessionKey: string;
  readonly shell: ShellKind;
  /** Unix seconds. */
  readonly createdAt: number;
  /** What each process starts with: `workdir`, `env` and `bootstrapCommand`. */
  readonly workdir: string;
  readonly env: { readonly [name: string]: string };
  readonly bootstrapCommand?: string;
  /** The number of the last start. */
  readonly starts: number;
}

const anyText = text({ allowNul: true });
const sessionRecord: Parser<SessionRecord> = fieldsOf({
  sessionKey: anyText,
  shell: oneOf(...shellKinds),
  createdAt: number({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  workdir: anyText,
  env: record(anyText, anyText, { max: 100_000 }),
  bootstrapCommand: optional(anyText),
  starts: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
}) as Parser<SessionRecord>;

/** The name of a session's directory: a key may hold anything, and be longer than a file name. */
export function folderName(sessionKey: string): string {
  return createHash('sha256').update(sessionKey).digest('hex').slice(0, 32);
}

/** The mark of the processes of one start, unlike that of any other session on the machine, of other servers, too. */
export function shellMark(directory: string, record: Pick<SessionRecord, 'createdAt'>, starts: number): string {
  return `${shellMarkPrefix(directory, record)}${starts}`;
}

/** What the marks of all starts of a session begin with, and no other mark. */
export function shellMarkPrefix(directory: string, { createdAt }: Pick<SessionRecord, 'createdAt'>): string {
  return `shell-${createHash('sha256').update(`${directory}\0${createdAt}`).digest('hex').slice(0, 16)}-`;
}

export function isShellMark(mark: string): boolean {
  return /^shell-[0-9a-f]{16}-\d+$/.test(mark);
}

/** Prefix of the directory of a start. */
export const startPrefix = 'run-';

export function runDirectory(directory: string, starts: number): string {
  return join(directory, `${startPrefix}${starts}`);
}

/** The content of a session's record, unchecked. @throws ParseError, UntrustedFileError, the system's error. */
export function readSessionFile(directory: string): unknown {
  return readJson(join(directory, 'shell.json'), recordBounds);
}

/** @throws ParseError */
export function parseSession(value: unknown): SessionRecord {
  return defined(sessionRecord(value, 'shell.json')) as SessionRecord;
}

/** @throws the system's error. */
export function writeSession(directory: string, session: SessionRecord): void {
  replaceFile(join(directory, 'shell.json'), JSON.stringify(session));
}
