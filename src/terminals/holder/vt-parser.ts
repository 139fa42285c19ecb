/**
 * Finds the control sequences in the output of a terminal (ECMA-48, and xterm's ctlseqs), byte by byte: a sequence may
 * be split across chunks anywhere. It keeps at most a few kilobytes of a sequence of any length. Strings hold one byte
 * per character (latin1).
 * @module
 */

export interface VtHandler {
  /** 1 at each final byte of the CSI sequences that are passed to `csi`. */
  readonly finals: Uint8Array;
  /** `CSI marker parameters intermediates final`: `\x1b[?25h` is `'?', '25', '', 'h'`. */
  csi(marker: string, parameters: string, intermediates: string, final: string): void;
  /** `ESC intermediates final`: `\x1b(0` is `'(', '0'`. */
  escape(intermediates: string, final: string): void;
  /** Operating system command without its terminator: `0;title`. */
  osc(text: string): void;
  /** SO selects G1, SI G0. */
  shift(set: 0 | 1): void;
}

/** Longer sequences are skipped. Terminals accept far less. */
const longestSequence = 256;
const longestOsc = 2048;

/** What the next byte belongs to. `lead`: it follows the first byte of a C1 control in UTF-8. */
type Mode = 'ground' | 'lead' | 'escape' | 'csi' | 'osc' | 'string';

export class VtParser {
  readonly #handler: VtHandler;
  #mode: Mode = 'ground';
  #text = '';
  #isTooLong = false;
  /** Inside a string: the last byte was ESC, which ends it. */
  #isEnding = false;

  constructor(handler: VtHandler) {
    this.#handler = handler;
  }

  /** Whether the parser is between two sequences. */
  get isGround(): boolean {
    return this.#mode === 'ground';
  }

  /** A parser in the same state. */
  clone(handler: VtHandler): VtParser {
    const copy = new VtParser(handler);
    copy.#mode = this.#mode;
    copy.#text = this.#text;
    copy.#isTooLong = this.#isTooLong;
    copy.#isEnding = this.#isEnding;
    return copy;
  }

  feed(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const { length } = bytes;
    for (let at = 0; at < length; at += 1) {
      if (this.#mode === 'ground') {
        at = nextControl(bytes, at);
        if (at === length) return;
        const end = this.#wholeCsi(bytes, at);
        if (end !== undefined) {
          at = end;
          continue;
        }
      } else if (this.#mode === 'string' && !this.#isEnding) {
        at = nextStringEnd(bytes, at);
        if (at === length) return;
      }
      this.#take(bytes[at]!);
    }
  }

  /** Fast path for most sequences: a whole CSI sequence within the chunk. @returns The index of its final byte. */
  #wholeCsi(bytes: Buffer, start: number): number | undefined {
    if (bytes[start] !== 0x1b || bytes[start + 1] !== 0x5b) return undefined;
    const last = Math.min(bytes.length, start + longestSequence);
    for (let at = start + 2; at < last; at += 1) {
      const byte = bytes[at]!;
      if (byte >= 0x20 && byte < 0x40) continue;
      if (byte < 0x40 || byte > 0x7e) return undefined;
      if (this.#handler.finals[byte] === 1) this.#tellCsi(bytes.toString('latin1', start + 2, at), byte);
      return at;
    }
    return undefined;
  }

  #tellCsi(text: string, final: number): void {
    const first = text.charCodeAt(0);
    const isMarked = first >= 0x3c && first <= 0x3f;
    // Usually there are only parameters.
    if (!(text.charCodeAt(text.length - 1) < 0x30)) {
      return this.#handler.csi(
        isMarked ? text[0]! : '',
        isMarked ? text.slice(1) : text,
        '',
        String.fromCharCode(final),
      );
    }
    const parts = /^([<-?]?)([0-;]*)([ -/]*)$/.exec(text);
    if (parts) this.#handler.csi(parts[1] ?? '', parts[2] ?? '', parts[3] ?? '', String.fromCharCode(final));
  }

  #take(byte: number): void {
    switch (this.#mode) {
      case 'ground': return this.#control(byte);
      case 'lead': return this.#c1(byte);
      case 'escape': return this.#escape(byte);
      case 'csi': return this.#csi(byte);
      case 'osc':
      case 'string': return this.#string(byte);
    }
  }

  #control(byte: number): void {
    if (byte === 0x1b) this.#begin('escape');
    else if (byte === 0xc2) this.#mode = 'lead';
    else this.#handler.shift(byte === 0x0e ? 1 : 0);
  }

  /** U+0080 to U+009F: the same as ESC and a byte of 0x40 to 0x5F (ECMA-48 §5.3). */
  #c1(byte: number): void {
    this.#mode = 'ground';
    if (byte >= 0x80 && byte < 0xa0) {
      this.#begin('escape');
      this.#escape(byte - 0x40);
    } else if (byte < 0x80) this.#again(byte);
  }

  #escape(byte: number): void {
    if (byte === 0x5b && this.#text === '') return this.#begin('csi');
    if (byte === 0x5d && this.#text === '') return this.#begin('osc');
    // DCS, SOS, PM, APC.
    if (this.#text === '' && (byte === 0x50 || byte === 0x58 || byte === 0x5e || byte === 0x5f)) {
      return this.#begin('string');
    }
    if (byte >= 0x20 && byte < 0x30) return this.#keep(byte, longestSequence);
    if (byte >= 0x30 && byte < 0x7f) {
      this.#mode = 'ground';
      if (!this.#isTooLong) this.#handler.escape(this.#text, String.fromCharCode(byte));
    } else this.#interrupt(byte);
  }

  #csi(byte: number): void {
    if (byte >= 0x20 && byte < 0x40) return this.#keep(byte, longestSequence);
    if (byte < 0x40 || byte > 0x7e) return this.#interrupt(byte);
    this.#mode = 'ground';
    if (!this.#isTooLong && this.#handler.finals[byte] === 1) this.#tellCsi(this.#text, byte);
  }

  #string(byte: number): void {
    if (this.#isEnding) {
      this.#endString();
      // ESC and another byte also end the string, and begin a sequence.
      if (byte === 0x5c) return;
      this.#begin('escape');
      return this.#escape(byte);
    }
    if (byte === 0x1b) this.#isEnding = true;
    else if (byte === 0x07) this.#endString();
    else if (byte === 0x18 || byte === 0x1a) this.#mode = 'ground';
    else if (this.#mode === 'osc' && byte >= 0x20 && byte !== 0x7f) this.#keep(byte, longestOsc);
  }

  #endString(): void {
    const isOsc = this.#mode === 'osc';
    this.#mode = 'ground';
    this.#isEnding = false;
    if (isOsc && !this.#isTooLong) this.#handler.osc(this.#text);
  }

  /**
   * Handles a byte that cannot continue the sequence: CAN and SUB cancel it, ESC begins another, other controls are
   * executed, and any other byte ends it.
   */
  #interrupt(byte: number): void {
    if (byte === 0x1b) this.#begin('escape');
    else if (byte === 0x18 || byte === 0x1a || byte >= 0x80) this.#mode = 'ground';
    else if (byte === 0x0e || byte === 0x0f) this.#handler.shift(byte === 0x0e ? 1 : 0);
  }

  #again(byte: number): void {
    if (byte === 0x1b || byte === 0x0e || byte === 0x0f) this.#control(byte);
  }

  #begin(mode: Mode): void {
    this.#mode = mode;
    this.#text = '';
    this.#isTooLong = false;
    this.#isEnding = false;
  }

  #keep(byte: number, longest: number): void {
    if (this.#text.length < longest) this.#text += String.fromCharCode(byte);
    else this.#isTooLong = true;
  }
}

/** Index of the first byte from `at` on that may end a string; the length if there is none. */
function nextStringEnd(bytes: Uint8Array, at: number): number {
  let position = at;
  for (; position < bytes.length; position += 1) {
    const byte = bytes[position]!;
    if (byte === 0x1b || byte === 0x07 || byte === 0x18 || byte === 0x1a) return position;
  }
  return position;
}

/** Index of the first byte from `at` on that may change the state; the length if there is none. */
function nextControl(bytes: Uint8Array, at: number): number {
  const { length } = bytes;
  let position = at;
  for (; position < length; position += 1) {
    const byte = bytes[position]!;
    if (byte === 0x1b || byte === 0x0e || byte === 0x0f || byte === 0xc2) return position;
  }
  return position;
}
