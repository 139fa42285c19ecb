/**
 * A request that is sent again with its `Idempotency-Key` gets its first answer again and does nothing.
 * @module
 */
import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ParseError } from '../base/parse.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { Repeatable } from '../protocol/repeatable.ts';

/** The key that a client gave, and a hash of what it asked for. */
export interface Idempotency {
  readonly key: string;
  readonly hash: string;
}

/** For the documentation of a route. */
export const idempotencyHeader = {
  'Idempotency-Key': 'The same key and request again: the first answer again, and nothing happens.',
} as const;

/** What was asked for: where, and with which bytes. */
export function fingerprint(target: string, body: Uint8Array): string {
  return createHash('sha256').update(target).update('\n').update(body).digest('base64url');
}

const longestKey = 255;

/** @param target What is asked for. @throws ParseError where the key cannot be one. */
export function idempotencyOf(request: Repeatable, target: string): Idempotency | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || key === '' || key.length > longestKey) {
    throw new ParseError('the header Idempotency-Key', `expected 1 to ${longestKey} characters`);
  }
  return { key, hash: fingerprint(target, request.bodyBytes) };
}

/** @throws ProblemError idempotency_mismatch where the key stands for another request. */
export function checkSame(known: Idempotency, asked: Idempotency): void {
  if (known.hash === asked.hash) return;
  throw new ProblemError('idempotency_mismatch',
    `Cannot use the Idempotency-Key "${asked.key}" again: its first request had another address or body`);
}

/** What was answered; kept in the directory of what it was about, as long as that. */
interface Answer extends Idempotency {
  readonly answer: unknown;
}

/** Remembers answers to calls on a job, a terminal, or whatever else has a directory. */
export class Answers {
  readonly #inProgress = new Map<string, { readonly hash: string; readonly acting: Promise<unknown> }>();

  /**
   * Acts once for each key.
   *
   * @param directory Of what is acted on.
   * @throws ProblemError idempotency_mismatch; what `act` throws is not remembered.
   */
  async once<T>(directory: string, asked: Idempotency | undefined, act: () => Promise<T>): Promise<T> {
    if (!asked) return act();
    const file = join(directory, 'answers.ndjson');
    const known = readAnswers(file).find(({ key }) => key === asked.key);
    if (known) {
      checkSame(known, asked);
      // It was written by the same call with the same request.
      return known.answer as T;
    }
    const name = `${file}\n${asked.key}`;
    const running = this.#inProgress.get(name);
    if (running) {
      checkSame({ key: asked.key, hash: running.hash }, asked);
      return running.acting as Promise<T>;
    }
    let isOnDisk = true;
    const acting = act().then((answer) => {
      isOnDisk = keep(file, { ...asked, answer });
      return answer;
    }).finally(() => { if (isOnDisk) this.#inProgress.delete(name); });
    this.#inProgress.set(name, { hash: asked.hash, acting });
    return acting;
  }
}

/** @returns whether it could be written: what was done is answered all the same, and known as long as this server lives. */
function keep(file: string, answer: Answer): boolean {
  try {
    // A line of its own, whatever an earlier full disk left of the one before.
    appendFileSync(file, `\n${JSON.stringify(answer)}\n`, { mode: 0o600 });
    return true;
  } catch {
    return false;
  }
}

function readAnswers(file: string): Answer[] {
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return [];
  }
  return content.split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line) as Answer];
    } catch {
      // The last line, torn by a full disk or a crash: its call was never answered.
      return [];
    }
  });
}
