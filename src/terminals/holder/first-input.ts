/**
 * Text that is typed into a new shell once it shows its prompt. A shell sets the terminal up before it reads a line:
 * text that comes earlier would be shown twice, and cut at 4,095 bytes (termios(3), canonical mode).
 * @module
 */

/** A shell that has shown nothing more for this long has shown its prompt. */
const quietMs = 50;
/** After this long, the text is typed even if the shell has shown nothing. */
const longestMs = 1000;

export class FirstInput {
  readonly #write: (bytes: Buffer) => void;
  readonly #overdue: NodeJS.Timeout;
  #quiet: NodeJS.Timeout | undefined;
  #text: string | undefined;

  /** @param text Without its last newline. */
  constructor(text: string, write: (bytes: Buffer) => void) {
    this.#text = text;
    this.#write = write;
    this.#overdue = setTimeout(() => this.type(), longestMs);
  }

  /** To be called when the shell has shown something. */
  shown(): void {
    if (this.#text === undefined) return;
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.type(), quietMs);
  }

  /** Types the text now, unless that is done: what a user types must come after it. */
  type(): void {
    const text = this.#text;
    if (text === undefined) return;
    this.cancel();
    // Not CR: typed while the terminal is raw, it would not end a line of a program (termios(3), ICRNL).
    this.#write(Buffer.from(`${text.replaceAll(/\r\n?/g, '\n')}\n`));
  }

  /** Discards the text. */
  cancel(): void {
    this.#text = undefined;
    clearTimeout(this.#overdue);
    clearTimeout(this.#quiet);
  }
}
