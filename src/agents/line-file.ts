/**
 * A file of lines, which is only ever appended to.
 * @module
 */
import { closeSync, writeSync } from 'node:fs';
import { openToAppend } from '../base/untrusted-file.ts';

/** Writes at once: a runner has nobody to keep waiting but its agent, which shall wait while the disk does. */
export class LineFile {
  readonly #fd: number;
  /** The last line has no end. */
  #isTorn = false;

  /** @throws the system's error. */
  constructor(path: string) {
    this.#fd = openToAppend(path);
  }

  /** What a full disk has torn stays a line of its own. @throws the system's error. */
  append(line: string): void {
    const bytes = Buffer.from(`${this.#isTorn ? '\n' : ''}${line}\n`);
    for (let written = 0; written < bytes.length;) {
      written += writeSync(this.#fd, bytes, written);
      this.#isTorn = written < bytes.length;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
