/**
 * What a program has done to the terminal that shows its output, so that leaving it in the middle can be undone.
 * @module
 */

/** `CSI ? 25 h`, `CSI > 1 u`, `CSI 3;20 r`, `CSI 6 SP q`, `ESC =`, `ESC c`. */
const sequences = /\x1b(?:\[([?><=]?)([\d;]*)( ?[hlumrq])|([=>c]))/g;
const unfinished = /\x1b(?:\[[?><=]?[\d;]{0,40} ?)?$/;
/** Those that are on where nobody has done anything: autowrap, repeat, blinking, the cursor. */
const usuallyOn: ReadonlySet<number> = new Set([7, 8, 12, 25]);
/** The other screen: what was on the first comes back with it, so it goes last. */
const otherScreen: ReadonlySet<number> = new Set([47, 1047, 1049]);

export class TerminalModes {
  readonly #on = new Set<number>();
  readonly #off = new Set<number>();
  #carry = '';
  #isKeypad = false;
  #isPartial = false;
  #isCursorStyled = false;
  #hasOtherKeys = false;
  #keyboards = 0;

  /** Learns from output. */
  watch(bytes: Uint8Array): void {
    if (this.#carry === '' && !bytes.includes(0x1b)) return;
    const text = this.#carry + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
    for (const [, mark = '', numbers = '', final = '', single] of text.matchAll(sequences)) this.#see(mark, numbers, final, single);
    this.#carry = unfinished.exec(text)?.[0] ?? '';
  }

  /** What makes the terminal as it was before; `''` where nothing is left to undo. */
  undo(): string {
    const off = [...this.#on].sort((left, right) => Number(otherScreen.has(left)) - Number(otherScreen.has(right)));
    return [
      ...(this.#isPartial ? ['\x1b7\x1b[r\x1b8'] : []),
      ...(this.#isKeypad ? ['\x1b>'] : []),
      ...(this.#hasOtherKeys ? ['\x1b[>4m'] : []),
      ...(this.#keyboards > 0 ? [`\x1b[<${this.#keyboards}u`] : []),
      ...(this.#isCursorStyled ? ['\x1b[0 q'] : []),
      ...off.map((mode) => `\x1b[?${mode}l`),
      ...[...this.#off].map((mode) => `\x1b[?${mode}h`),
    ].join('');
  }

  #see(mark: string, numbers: string, final: string, single: string | undefined): void {
    if (single === 'c') return this.#forget();
    if (single !== undefined) this.#isKeypad = single === '=';
    else if (mark === '?' && (final === 'h' || final === 'l')) for (const word of numbers.split(';')) this.#set(Number(word), final === 'h');
    else if (final === 'u' && mark === '>') this.#keyboards += 1;
    else if (final === 'u' && mark === '<') this.#keyboards = Math.max(0, this.#keyboards - (Number(numbers) || 1));
    else if (final === 'm' && mark === '>' && numbers.startsWith('4')) this.#hasOtherKeys = /^4;[1-9]/.test(numbers);
    else if (final === 'r' && mark === '') this.#isPartial = numbers !== '';
    else if (final === ' q') this.#isCursorStyled = Number(numbers) !== 0;
  }

  #set(mode: number, isOn: boolean): void {
    const [changed, usual] = usuallyOn.has(mode) ? [this.#off, true] : [this.#on, false];
    if (isOn === usual) changed.delete(mode);
    else changed.add(mode);
  }

  #forget(): void {
    this.#on.clear();
    this.#off.clear();
    [this.#isKeypad, this.#isPartial, this.#isCursorStyled, this.#hasOtherKeys, this.#keyboards] = [false, false, false, false, 0];
  }
}

/**
 * Output without what asks the terminal something: an answer to a question of long ago would be typed into the program.
 * Device attributes, reports of status, version, keyboard, size, mode and colour, and requests for settings.
 */
export function withoutQuestions(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const rest = text.replaceAll(questions, '');
  return rest.length === text.length ? bytes : Buffer.from(rest, 'latin1');
}

const questions = new RegExp([
  '\\x1b\\[[>=]?0?c', '\\x1b\\[\\??[56]n', '\\x1b\\[>0?q', '\\x1b\\[\\?u', '\\x1b\\[(?:1[13-9]|2[01])t', '\\x1b\\[\\??\\d*\\$p',
  '\\x1b\\](?:4;\\d+|1[0-9]);\\?(?:\\x07|\\x1b\\\\)', '\\x1bP[$+]q[^\\x1b]*\\x1b\\\\', '\\x1bZ', '\\x05',
].join('|'), 'g');
