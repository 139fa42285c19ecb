/**
 * The terminal of the person: raw while a remote program uses it, and restored however the command ends.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { setRaw } from '../io/streams.ts';

export class LocalTerminal {
  /** The settings as `stty -g` prints them; `undefined`: stty(1) does not work here. */
  readonly #saved: string | undefined;
  #isRaw = false;
  #undo: () => string = () => '';
  readonly #onExit = (): void => this.restore();
  readonly #onContinue = (): void => this.#apply();

  constructor() {
    this.#saved = stty(['-g'])?.trim();
  }

  /** Sends every key to the program from now on. @param undo Returns the text that restores the screen. */
  makeRaw(undo: () => string): void {
    this.#undo = undo;
    this.#isRaw = true;
    setRaw(true);
    // An unexpected end, by a bug for example, also emits `exit`.
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

  /** Uses stty(1) if it works: `setRawMode` leaves output processing on, which moves the program's cursor wrongly. */
  #apply(): void {
    if (this.#saved === undefined) process.stdin.setRawMode(true);
    else stty(['raw', '-echo', '-iexten']);
  }
}

function stty(args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync('stty', args, { stdio: ['inherit', 'pipe', 'ignore'], encoding: 'utf8' });
  return status === 0 ? stdout : undefined;
}
