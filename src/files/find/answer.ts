/**
 * Turns what an engine finds into the records of the answer, up to the limit. Pure.
 * @module
 */
import { isUtf8 } from 'node:buffer';
import type { FindEnd, FindResult } from '../../protocol/files/find.ts';
import type { Found } from './found.ts';

export interface AnswerOptions {
  /** Matches. */
  readonly limit: number;
  /** Lines of context behind a match. */
  readonly after: number;
}

export class Answer {
  /** There is another match beyond the limit. */
  isFull = false;
  readonly #options: AnswerOptions;
  #matches = 0;
  #files = 0;
  /** Of the last match. */
  #path: string | undefined;
  #line = 0;
  /** Context of a match that is still to come. */
  #before: FindResult[] = [];

  constructor(options: AnswerOptions) {
    this.#options = options;
  }

  get counts(): Pick<FindEnd, 'matches' | 'files'> {
    return { matches: this.#matches, files: this.#files };
  }

  /** Records that can be sent. Context before a match is kept back until the match comes. */
  take(found: readonly Found[]): FindResult[] {
    const records: FindResult[] = [];
    for (const one of found) {
      const record = named(one);
      if (record.type !== 'context') {
        if (this.#matches === this.#options.limit) {
          this.isFull = true;
          break;
        }
        this.#count(one);
        records.push(...this.#before.splice(0), record);
      } else if (one.path === this.#path && record.line <= this.#line + this.#options.after) records.push(record);
      else this.#before.push(record);
    }
    return records;
  }

  #count({ path, record }: Found): void {
    this.#matches += 1;
    if (path !== this.#path) this.#files += 1;
    this.#path = path;
    this.#line = record.type === 'match' ? record.line : 0;
  }
}

function named({ path, record }: Found): FindResult {
  const bytes = Buffer.from(path, 'latin1');
  const name = { path: bytes.toString(), ...(isUtf8(bytes) ? {} : { pathBase64: bytes.toString('base64') }) };
  const { type, ...rest } = record;
  return { type, ...name, ...rest } as FindResult;
}
