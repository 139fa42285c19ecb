/**
 * Finds the keys that detach from a terminal in what is typed.
 * @module
 */
import { UsageError } from '../failure.ts';

export const defaultDetachKeys = 'ctrl-]';

/** How `--detach-keys` is written, for its help. */
export const detachKeysForm: string = `ctrl-a, or several as ctrl-p,ctrl-q. Default: ${defaultDetachKeys}`;

interface DetachKeysOption {
  readonly type: 'string';
  readonly value: string;
  readonly description: string;
}

export const detachKeysOption: DetachKeysOption = {
  type: 'string', value: 'KEYS', description: `What leaves it: ${detachKeysForm}`,
};

/** The typed bytes without the detach keys, and whether those keys were typed. */
export interface KeyInput {
  /** The bytes for the program. */
  readonly bytes: Buffer;
  readonly isDetached: boolean;
}

export class DetachKeys {
  /** The keys as text for people: `Ctrl-]`. */
  readonly shown: string;
  /** Each key, in every form in which terminals send it. */
  readonly #keys: readonly (readonly Buffer[])[];
  /** The beginning of the keys, held back because it may still be meant for the program. */
  #held: Buffer = Buffer.alloc(0);

  /**
   * @param text `ctrl-]`, or several with commas between: `ctrl-p,ctrl-q`. A key is one character, or `ctrl-` and one.
   * @throws UsageError
   */
  constructor(text: string) {
    const words = text.split(',');
    this.#keys = words.map((word) => encodingsOf(word) ?? keysError(text));
    this.shown = words.map((word) => word
      .replace(/^ctrl-/i, 'Ctrl-')
      .replace(/-(\w)$/, (_, letter: string) => `-${letter.toUpperCase()}`)).join(' ');
  }

  take(chunk: Buffer): KeyInput {
    const bytes = Buffer.concat([this.#held, chunk]);
    this.#held = Buffer.alloc(0);
    for (let start = 0; start < bytes.length; start += 1) {
      const end = this.#match(bytes, start);
      if (end === 'begun') {
        this.#held = bytes.subarray(start);
        return { bytes: bytes.subarray(0, start), isDetached: false };
      }
      if (end !== undefined) return { bytes: bytes.subarray(0, start), isDetached: true };
    }
    return { bytes, isDetached: false };
  }

  /** The end of the keys that begin at `start`; `begun`: so far only a part of them was typed. */
  #match(bytes: Buffer, start: number): number | 'begun' | undefined {
    let position = start;
    for (const [index, ways] of this.#keys.entries()) {
      if (position === bytes.length && index > 0) return 'begun';
      const way = ways.find((one) => bytes.subarray(position, position + one.length).equals(one));
      if (!way) return undefined;
      position += way.length;
    }
    return position;
  }
}

function encodingsOf(word: string): readonly Buffer[] | undefined {
  const control = /^ctrl-([a-z@[\\\]^_])$/i.exec(word)?.[1];
  if (control !== undefined) {
    const code = control.toLowerCase().charCodeAt(0);
    // The control character; the kitty keyboard protocol; xterm's modifyOtherKeys.
    return [
      Buffer.from([control.toUpperCase().charCodeAt(0) & 0x1f]),
      Buffer.from(`\x1b[${code};5u`),
      Buffer.from(`\x1b[27;5;${code}~`),
    ];
  }
  return /^[\x21-\x7e]$/.test(word) ? [Buffer.from(word)] : undefined;
}

function keysError(text: string): never {
  throw new UsageError(`Cannot read --detach-keys: expected keys such as ctrl-] or ctrl-p,ctrl-q, received "${text}"`);
}
