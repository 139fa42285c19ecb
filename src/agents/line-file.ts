/**
 * An append-only file of lines.
 * @module
 */
import { closeSync, writeSync } from 'node:fs';
import { openToAppend } from '../base/files/untrusted-file.ts';

/** Writes synchronously: only the agent waits for its runner, and it should wait while the disk does. */
export class LineFile {
  readonly #fd: number;
  /** Whether the last line is incomplete. */
  #isTorn = false;

  /** @throws the system's error. */
  constructor(path: string) {
    this.#fd = openToAppend(path);
  }

  /** A line that a full disk has torn stays a line of its own. @throws the system's error. */
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
