/**
 * Remembers the answers to update requests, for requests that are repeated, also to the server that the update started.
 * @module
 */
import { join } from 'node:path';
import { replaceFile } from '../base/files/atomic-file.ts';
import { makeFolder } from '../base/files/make-folder.ts';
import { readRegular, statFile } from '../base/files/untrusted-file.ts';
import { Answers, type Idempotency } from '../process/state/idempotency.ts';
import type { UpdateAnswer } from '../protocol/updates.ts';

/** About a thousand answers; beyond it the older half is dropped. */
const longestFileBytes = 256 * 1024;

export class UpdateAnswers {
  readonly #directory: string;
  readonly #answers = new Answers();

  /** @param directory A directory for the answers alone; made with the first one. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The directory of the answers in a state directory. */
  static directoryIn(stateDir: string): string {
    return join(stateDir, 'updates');
  }

  /**
   * Begins an update once per Idempotency-Key.
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
