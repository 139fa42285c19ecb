/**
 * What updates were answered, for requests that are sent again: also to the server that the update brought.
 * @module
 */
import { join } from 'node:path';
import { replaceFile } from '../base/atomic-file.ts';
import { makeFolder } from '../base/make-folder.ts';
import { readRegular, statFile } from '../base/untrusted-file.ts';
import { Answers, type Idempotency } from '../process/idempotency.ts';
import type { UpdateAnswer } from '../protocol/updates.ts';

/** About a thousand answers; beyond it the older half is forgotten. */
const longestFileBytes = 256 * 1024;

export class UpdateAnswers {
  readonly #directory: string;
  readonly #answers = new Answers();

  /** @param directory Of their own; made with the first answer. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Where the answers of a state directory are. */
  static directoryIn(stateDir: string): string {
    return join(stateDir, 'updates');
  }

  /**
   * Begins an update once for each Idempotency-Key.
   *
   * @throws ProblemError idempotency_mismatch; what `begin` throws is not remembered.
   */
  async once(asked: Idempotency, begin: () => Promise<UpdateAnswer>): Promise<UpdateAnswer> {
    makeFolder(this.#directory, { mode: 0o700 });
    this.#forgetOldest();
    return await this.#answers.once(this.#directory, asked, begin);
  }

  #forgetOldest(): void {
    const file = join(this.#directory, 'answers.ndjson');
    const stats = statFile(file);
    if (stats?.isFile() !== true || stats.size <= longestFileBytes) return;
    const content = readRegular(file, 64 * longestFileBytes);
    replaceFile(file, content.subarray(content.indexOf('\n', content.length / 2)));
  }
}
