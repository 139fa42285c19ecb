/**
 * The terminal that a person sits at: raw while a remote program has it, and as it was before however this ends.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { setRaw } from './streams.ts';

export class LocalTerminal {
  /** As `stty -g` says it; `undefined`: there is no stty(1) here. */
  readonly #saved: string | undefined;
  #isRaw = false;
  #undo: () => string = () => '';
  readonly #onExit = (): void => this.restore();
  readonly #onContinue = (): void => this.#apply();

  constructor() {
    this.#saved = stty(['-g'])?.trim();
  }

  /** Every key goes to the program from here on. @param undo What makes the screen as it was. */
  makeRaw(undo: () => string): void {
    this.#undo = undo;
    this.#isRaw = true;
    setRaw(true);
    // Also what nobody expects, a bug for one, ends in `exit`.
    process.on('exit', this.#onExit);
    process.on('SIGCONT', this.#onContinue);
    this.#apply();
  }

  restore(): void {
    if (!this.#isRaw) return;
    this.#isRaw = false;
    setRaw(false);
    process.off('exit', this.#onExit);
    process.off('SIGCONT', this.#onContinue);
    const text = this.#undo();
    if (text !== '' && process.stdout.writable) process.stdout.write(text);
    if (this.#saved !== undefined) stty([this.#saved]);
    else process.stdin.setRawMode(false);
  }

  /** Not by `setRawMode`: that leaves the output half cooked, which moves the cursor of a program that knows better. */
  #apply(): void {
    if (this.#saved === undefined) process.stdin.setRawMode(true);
    else stty(['raw', '-echo', '-iexten']);
  }
}

function stty(args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync('stty', args, { stdio: ['inherit', 'pipe', 'ignore'], encoding: 'utf8' });
  return status === 0 ? stdout : undefined;
}
