/**
 * A repeated request with the same `Idempotency-Key` gets the first answer again and does nothing.
 * @module
 */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { errorCode } from '../../base/error-code.ts';
import { ParseError } from '../../base/parse.ts';
import {
  appendRegular, checkFolder, isUnreadable, readRegular, TooLargeError,
} from '../../base/files/untrusted-file.ts';
import { type JsonBounds, parseWithin } from '../../base/files/untrusted-json.ts';
import { type Problem, ProblemError } from '../../protocol/problem.ts';
import type { Repeatable } from '../../protocol/repeatable.ts';

/** The key that a client gave, and a hash of its request. */
export interface Idempotency {
  readonly key: string;
  readonly hash: string;
}

/** A hash of a request: its target and its body. */
export function fingerprint(target: string, body: Uint8Array): string {
  return createHash('sha256').update(target).update('\n').update(body).digest('base64url');
}

const longestKey = 255;
const answersFile = 'answers.ndjson';
/** Each line begins with one of these, and the key. */
const keyFields = ['key', 'begun', 'withdrawn', 'failed'] as const;

/** @param target The target of the request. @throws ParseError where the key is invalid. */
export function idempotencyOf(request: Repeatable, target: string): Idempotency | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || key === '' || key.length > longestKey) {
    throw new ParseError('the header Idempotency-Key', `expected 1 to ${longestKey} characters`);
  }
  return { key, hash: fingerprint(target, request.bodyBytes) };
}

/** @throws ProblemError idempotency_mismatch where the key was used for another request. */
export function checkSame(known: Idempotency, asked: Idempotency): void {
  if (known.hash === asked.hash) return;
  throw new ProblemError('idempotency_mismatch',
    `Cannot use the Idempotency-Key "${asked.key}" again: its first request had another address or body`);
}

/**
 * A line of `answers.ndjson`, which is in the directory of the job or terminal and is deleted with it. The last line of
 * a key counts. Older versions know only the lines with `key`, and skip lines that they do not understand.
 */
type Line =
  | { readonly key: string; readonly hash: string; readonly answer: unknown }
  /** The call is about to do what cannot be undone. */
  | { readonly begun: string; readonly hash: string }
  /** The call failed and did nothing. */
  | { readonly withdrawn: string; readonly hash: string }
  /** The call failed after doing a part. */
  | {
    readonly failed: string; readonly hash: string;
    readonly problem: Pick<Problem, 'code' | 'detail'>; readonly extensions: ProblemError['extensions']
  };

const maxFileBytes = 64 * 2 ** 20;
/** Limit on all lines of one key: two of its answer, at most a body of 1 MiB, and those that a full disk has torn. */
const maxKeyBytes = 4 * 2 ** 20;
const maxKeyTokens = 400_000;
const maxKeyLines = 1000;

/** Remembers answers to calls on a job, a terminal, or anything else that has a directory. */
export class Answers {
  readonly #inProgress = new Map<string, { readonly hash: string; readonly acting: Promise<unknown> }>();

  /**
   * Acts once for each key.
   *
   * @param directory The directory of the object that is acted on.
   * @param act Calls `begin` before it does what must not be done twice. If the server is killed between that and the
   *   answer, the call is answered `outcome_unknown` from then on, and nothing is done again.
   * @throws ProblemError idempotency_mismatch, outcome_unknown; unavailable where something has replaced the file and
   *   `act` calls `begin`: an act without `begin`, such as cancelling, may be repeated. What `act` throws is not
   *   remembered, unless it is a ProblemError that says that something was done before it.
   */
  async once<T>(directory: string, asked: Idempotency | undefined, act: (begin: () => void) => Promise<T>): Promise<T> {
    if (!asked) return act(() => undefined);
    const file = join(directory, answersFile);
    const name = `${file}\n${asked.key}`;
    const running = this.#inProgress.get(name);
    if (running) {
      checkSame({ key: asked.key, hash: running.hash }, asked);
      return running.acting as Promise<T>;
    }
    const known = lastLineIn(directory, asked.key);
    const refusal = known instanceof ProblemError ? known : undefined;
    if (known && !(known instanceof ProblemError) && !('withdrawn' in known)) return replay(known, asked) as T;
    const call = new KeyedCall(file, asked, refusal);
    const acting = call.run(act).finally(() => { if (call.isOnDisk) this.#inProgress.delete(name); });
    this.#inProgress.set(name, { hash: asked.hash, acting });
    return acting;
  }
}

/** One call with a key, while it is carried out. */
class KeyedCall {
  readonly #file: string;
  readonly #asked: Idempotency;
  /** Why the call must not begin what may not be done twice. */
  readonly #refusal: ProblemError | undefined;
  #hasBegun = false;
  /** Whether the outcome can be read back; otherwise it is known to this server alone. */
  isOnDisk = true;

  constructor(file: string, asked: Idempotency, refusal: ProblemError | undefined) {
    this.#file = file;
    this.#asked = asked;
    this.#refusal = refusal;
  }

  #begin(): void {
    if (this.#refusal) throw this.#refusal;
    const { key, hash } = this.#asked;
    // A failed write does not stop the call: on a full disk a job may need its input all the more.
    this.#hasBegun ||= append(this.#file, { begun: key, hash });
  }

  async run<T>(act: (begin: () => void) => Promise<T>): Promise<T> {
    const { key, hash } = this.#asked;
    try {
      const answer = await act(() => this.#begin());
      this.isOnDisk = append(this.#file, { key, hash, answer });
      return answer;
    } catch (error) {
      if (isPartial(error)) {
        const { code, message: detail, extensions } = error;
        this.isOnDisk = append(this.#file, { failed: key, hash, problem: { code, detail }, extensions });
      } else if (this.#hasBegun) append(this.#file, { withdrawn: key, hash });
      throw error;
    }
  }
}

function isPartial(error: unknown): error is ProblemError {
  if (!(error instanceof ProblemError)) return false;
  const { writtenBytes = 0, unknown } = error.extensions;
  return Number(writtenBytes) > 0 || unknown === true;
}

/** @throws ProblemError the remembered problem; outcome_unknown; idempotency_mismatch. */
function replay(known: Exclude<Line, { withdrawn: string }>, asked: Idempotency): unknown {
  checkSame({ key: asked.key, hash: known.hash }, asked);
  if ('answer' in known) return known.answer;
  if ('problem' in known)
    throw new ProblemError(known.problem.code, known.problem.detail, { extensions: known.extensions });
  throw new ProblemError(
    'outcome_unknown',
    'Cannot say whether it was done: the server was killed in the middle of it; look at the job, then '
      + 'decide, and use another Idempotency-Key to do it again',
    { extensions: { unknown: true } },
  );
}

function keyOf(line: Line): string {
  if ('key' in line) return line.key;
  if ('begun' in line) return line.begun;
  return 'withdrawn' in line ? line.withdrawn : line.failed;
}

/**
 * @returns whether the line could be written. If not, the call is answered all the same, and this server remembers it.
 */
function append(file: string, line: Line): boolean {
  try {
    checkFolder(dirname(file));
    // The leading newline separates it from a line that a full disk has torn.
    appendRegular(file, `\n${JSON.stringify(line)}\n`);
    return true;
  } catch {
    return false;
  }
}

/** @returns a ProblemError, unavailable, where something has replaced the file. */
function lastLineIn(directory: string, key: string): Line | ProblemError | undefined {
  try {
    checkFolder(directory);
    // latin1 has one byte a character, which halves the time to search the longest files.
    return lastLineOf(key, readRegular(join(directory, answersFile), maxFileBytes).toString('latin1'));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    if (!isUnreadable(error)) throw error;
    const { message } = error as Error;
    return new ProblemError(
      'unavailable',
      `Cannot tell whether that was done before: ${message}; without an Idempotency-Key it can be done`,
      { cause: error },
    );
  }
}

/**
 * Parses only lines of the key, the last first: a job may have filled the file with millions of other lines, or of
 * these.
 *
 * @param content The bytes, one a character.
 * @throws TooLargeError where more lines of the key are torn than there can be.
 */
function lastLineOf(key: string, content: string): Line | undefined {
  const named = Buffer.from(JSON.stringify(key)).toString('latin1');
  const places = keyFields.map((field) => new Places(content, `{"${field}":${named},`));
  let [leftBytes, leftTokens] = [maxKeyBytes, maxKeyTokens];
  for (let lines = 0; ; lines += 1) {
    const last = places.reduce((one, other) => (other.at > one.at ? other : one));
    if (last.at < 0) return undefined;
    const end = content.indexOf('\n', last.at);
    const bytes = Buffer.from(content.slice(last.at, end < 0 ? undefined : end), 'latin1');
    if (lines >= maxKeyLines) throw new TooLargeError(`${answersFile} has more than ${maxKeyLines} lines of one key`);
    const line = parsed(bytes, { maxBytes: leftBytes, maxTokens: leftTokens });
    if (line !== undefined && keyOf(line) === key) return line;
    leftBytes -= bytes.length;
    leftTokens -= bytes.length;
    last.next();
  }
}

/** Finds the places where lines begin with a text, the last first. */
class Places {
  readonly #content: string;
  readonly #start: string;
  at: number;

  constructor(content: string, start: string) {
    this.#content = content;
    this.#start = start;
    this.at = this.#before(content.length);
  }

  next(): void {
    this.at = this.#before(this.at - 1);
  }

  #before(end: number): number {
    const found = end < 1 ? -1 : this.#content.lastIndexOf(`\n${this.#start}`, end - 1);
    if (found >= 0) return found + 1;
    return end >= 0 && this.#content.startsWith(this.#start) ? 0 : -1;
  }
}

/** `undefined`: the line was torn by a full disk or a crash, and its call was never answered. @throws TooLargeError */
function parsed(line: Buffer, bounds: JsonBounds): Line | undefined {
  try {
    const value = parseWithin(line, bounds, answersFile);
    return typeof value === 'object' && value !== null && 'hash' in value ? value as Line : undefined;
  } catch (error) {
    if (error instanceof TooLargeError) throw error;
    return undefined;
  }
}
