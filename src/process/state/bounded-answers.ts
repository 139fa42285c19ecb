/**
 * Remembers the answers to requests about the server itself, for requests that are repeated, also to a later server.
 * @module
 */
import { join } from 'node:path';
import { replaceFile } from '../../base/files/atomic-file.ts';
import { makeFolder } from '../../base/files/make-folder.ts';
import { readRegular, statFile } from '../../base/files/untrusted-file.ts';
import { Answers, type Idempotency } from './idempotency.ts';

/** About a thousand answers; beyond it the older half is dropped. */
const longestFileBytes = 256 * 1024;

export class BoundedAnswers {
  readonly #directory: string;
  readonly #answers = new Answers();

  /** @param directory Is made with the first answer. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * Acts once per Idempotency-Key; without one, always.
   *
   * @param act As for {@link Answers.once}.
   * @throws ProblemError idempotency_mismatch, outcome_unknown; what `act` throws is not remembered.
   */
  async once<T>(asked: Idempotency | undefined, act: (begin: () => void) => Promise<T>): Promise<T> {
    if (asked === undefined) return await act(() => undefined);
    makeFolder(this.#directory, { mode: 0o700 });
    this.#forgetOldest();
    return await this.#answers.once(this.#directory, asked, act);
  }

  #forgetOldest(): void {
    const file = join(this.#directory, 'answers.ndjson');
    const stats = statFile(file);
    if (stats?.isFile() !== true || stats.size <= longestFileBytes) return;
    const content = readRegular(file, 64 * longestFileBytes);
    replaceFile(file, content.subarray(content.indexOf('\n', content.length / 2)));
  }
}
