/**
 * Tracks what a program has set in its terminal: modes, keyboard, colours, titles, but not the characters on the
 * screen. Its size is bounded for any output. It serves to set up a terminal that joins later in the same way, and to
 * reset one that leaves.
 *
 * Source: ctlseqs of xterm; kitty's keyboard protocol; DEC STD 070 for DECSTR.
 * @module
 */
import { applyGraphics, type Graphics, graphicsSequence } from './graphics.ts';
import { type VtHandler, VtParser } from './vt-parser.ts';

/** Modes that are on by default: wrap, repeat, blinking, the cursor. */
const usuallyOn: ReadonlySet<number> = new Set([7, 8, 12, 25]);
/** Modes of the alternate screen. */
const otherScreen: ReadonlySet<number> = new Set([47, 1047, 1049]);
/**
 * Modes that are set in a terminal that joins: cursor keys, reverse video, origin, wrap, keypad, cursor, mouse, focus,
 * paste, colour scheme.
 */
const joined: readonly number[] = [
  1, 5, 6, 7, 9, 12, 25, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 2004, 2031,
];
/** Modes that DECSTR resets: cursor keys, origin, wrap, cursor, keypad. */
const softlyReset: readonly number[] = [1, 6, 7, 25, 66];
/** Final bytes of the CSI sequences that set something. */
const csiFinals = new Uint8Array(256);
for (const final of 'hlmrtqpu') csiFinals[final.charCodeAt(0)] = 1;
/** SGR parameters that are kept unparsed: most are overridden before the state is read. */
const mostPending = 64;
const mostModes = 64;
const mostStacked = 16;
const mostColours = 256;
const longestTitle = 1024;

interface Titles {
  readonly icon: string;
  readonly window: string;
}

export class ScreenState implements VtHandler {
  readonly finals: Uint8Array = csiFinals;
  #parser = new VtParser(this);
  /** Modes that differ from the default. */
  #modes = new Set<number>();
  #isInserting = false;
  #isKeypad = false;
  #cursorShape = 0;
  #margins = '';
  #charsets = new Map<string, string>();
  #shift: 0 | 1 = 0;
  #settledGraphics: Graphics = new Map();
  #pendingGraphics: string[] = [];
  #link = '';
  #titles: Titles = { icon: '', window: '' };
  #stackedTitles: Titles[] = [];
  /** Keyed by what they set: `4;1`, `11`. */
  #colours = new Map<string, string>();
  #otherKeys = 0;
  /** Flags of kitty's protocol, the newest last; each screen has its own. */
  #keyboards: { readonly main: number[]; readonly other: number[] } = { main: [], other: [] };

  feed(bytes: Uint8Array): void {
    this.#parser.feed(bytes);
  }

  /** Whether the output so far ends between two sequences. */
  get isBetween(): boolean {
    return this.#parser.isGround;
  }

  get isOtherScreen(): boolean {
    return this.#modes.has(1049) || this.#modes.has(1047) || this.#modes.has(47);
  }

  clone(): ScreenState {
    const copy = new ScreenState();
    copy.#parser = this.#parser.clone(copy);
    copy.#modes = new Set(this.#modes);
    [copy.#isInserting, copy.#isKeypad, copy.#cursorShape, copy.#margins] =
      [this.#isInserting, this.#isKeypad, this.#cursorShape, this.#margins];
    copy.#charsets = new Map(this.#charsets);
    [copy.#shift, copy.#settledGraphics, copy.#link, copy.#titles] =
      [this.#shift, this.#graphics, this.#link, this.#titles];
    copy.#stackedTitles = [...this.#stackedTitles];
    copy.#colours = new Map(this.#colours);
    copy.#otherKeys = this.#otherKeys;
    copy.#keyboards = { main: [...this.#keyboards.main], other: [...this.#keyboards.other] };
    return copy;
  }

  /**
   * Sequences that set another terminal like this one. Bytes as latin1.
   *
   * @param options.isFresh The terminal has shown nothing yet. Otherwise everything that may differ is set, and a
   * sequence that it has received in part is cancelled.
   */
  join({ isFresh }: { readonly isFresh: boolean }): string {
    return [
      ...(isFresh ? [] : ['\x18\x1b[!p', this.isOtherScreen ? '' : '\x1b[?1049l']),
      ...this.#keyboards.main.map(pushFlags),
      ...[...this.#modes].filter((mode) => otherScreen.has(mode)).map((mode) => `\x1b[?${mode}h`),
      ...(this.isOtherScreen ? this.#keyboards.other.map(pushFlags) : []),
      ...this.#titleSequences(),
      ...[...this.#colours].map(([name, value]) => `\x1b]${name};${value}\x07`),
      // Setting the margins moves the cursor.
      ...(this.#margins === '' ? [] : [`\x1b7\x1b[${this.#margins}r\x1b8`]),
      ...joined.filter((mode) => !isFresh || this.#modes.has(mode))
        .map((mode) => `\x1b[?${mode}${this.#isOn(mode) ? 'h' : 'l'}`),
      ...(this.#isInserting ? ['\x1b[4h'] : []),
      ...(this.#isKeypad ? ['\x1b='] : []),
      ...(this.#cursorShape === 0 ? [] : [`\x1b[${this.#cursorShape} q`]),
      ...[...this.#charsets].map(([set, final]) => `\x1b${set}${final}`),
      ...(this.#shift === 1 ? ['\x0e'] : []),
      ...(this.#otherKeys === 0 ? [] : [`\x1b[>4;${this.#otherKeys}m`]),
      ...(this.#link === '' ? [] : [`\x1b]8;${this.#link}\x07`]),
      ...(this.#graphics.size === 0 ? [] : [graphicsSequence(this.#graphics)]),
    ].join('');
  }

  /** Sequences that reset a terminal to its defaults; `''` if nothing needs a reset. */
  undo(): string {
    const changed = [...this.#modes]
      .sort((left, right) => Number(otherScreen.has(left)) - Number(otherScreen.has(right)));
    const palette = [...this.#colours.keys()];
    return [
      ...(this.#margins === '' ? [] : ['\x1b7\x1b[r\x1b8']),
      ...(this.#isInserting ? ['\x1b[4l'] : []),
      ...(this.#isKeypad ? ['\x1b>'] : []),
      ...(this.#otherKeys === 0 ? [] : ['\x1b[>4m']),
      ...popFlags(this.#keyboard),
      ...(this.#cursorShape === 0 ? [] : ['\x1b[0 q']),
      ...[...this.#charsets.keys()].map((set) => `\x1b${set}B`),
      ...(this.#shift === 1 ? ['\x0f'] : []),
      ...(palette.some((name) => name.startsWith('4;')) ? ['\x1b]104\x07'] : []),
      ...palette.filter((name) => !name.startsWith('4;')).map((name) => `\x1b]1${name}\x07`),
      ...(this.#link === '' ? [] : ['\x1b]8;;\x07']),
      ...(this.#graphics.size === 0 ? [] : ['\x1b[m']),
      ...changed.filter((mode) => !usuallyOn.has(mode)).map((mode) => `\x1b[?${mode}l`),
      ...(this.isOtherScreen ? popFlags(this.#keyboards.main) : []),
      ...changed.filter((mode) => usuallyOn.has(mode)).map((mode) => `\x1b[?${mode}h`),
    ].join('');
  }

  csi(marker: string, parameters: string, intermediates: string, final: string): void {
    if (final === 'm' && marker === '' && intermediates === '') return this.#setGraphics(parameters);
    switch (`${marker}${intermediates}${final}`) {
      case '?h': return this.#setModes(parameters, true);
      case '?l': return this.#setModes(parameters, false);
      case 'h': return this.#setInserting(parameters, true);
      case 'l': return this.#setInserting(parameters, false);
      case 'r': this.#margins = parameters; return;
      case 't': return this.#stackTitles(parameters);
      case ' q': this.#cursorShape = Math.min(numberOf(parameters), 99); return;
      case '!p': return this.#resetSoftly();
      case '>m':
        if (parameters.split(';')[0] === '4') this.#otherKeys = Math.min(numberOf(parameters.split(';')[1]), 9);
        return;
      case '>u': return void pushBounded(this.#keyboard, numberOf(parameters));
      case '<u': return void this.#keyboard.splice(-Math.max(1, numberOf(parameters)));
      case '=u': return this.#changeKeyboard(parameters);
    }
  }

  escape(intermediates: string, final: string): void {
    if (/^[()*+]$/.test(intermediates)) this.#setCharset(intermediates, final);
    else if (intermediates !== '') return;
    else if (final === 'c') this.#reset();
    else if (final === '=' || final === '>') this.#isKeypad = final === '=';
  }

  osc(text: string): void {
    const [, command = '', rest = ''] = /^(\d+)(?:;([^]*))?$/.exec(text) ?? [];
    const number = Number(command);
    if (command === '') return;
    if (number <= 2) this.#setTitle(number, rest.slice(0, longestTitle));
    else if (number === 8) this.#link = rest.endsWith(';') ? '' : rest;
    else if (number === 4) this.#setPalette(rest);
    else if (number >= 10 && number <= 19) this.#setColour(command, rest);
    else if (number === 104) this.#forgetPalette(rest);
    else if (number >= 110 && number <= 119) this.#colours.delete(command.slice(1));
  }

  shift(set: 0 | 1): void {
    this.#shift = set;
  }

  get #keyboard(): number[] {
    return this.isOtherScreen ? this.#keyboards.other : this.#keyboards.main;
  }

  get #graphics(): Graphics {
    for (const parameters of this.#pendingGraphics.splice(0)) {
      this.#settledGraphics = applyGraphics(this.#settledGraphics, parameters);
    }
    return this.#settledGraphics;
  }

  #setGraphics(parameters: string): void {
    if (parameters === '' || parameters === '0') return this.#resetGraphics();
    this.#pendingGraphics.push(parameters);
    if (this.#pendingGraphics.length >= mostPending) this.#settledGraphics = this.#graphics;
  }

  #resetGraphics(): void {
    if (this.#settledGraphics.size > 0) this.#settledGraphics = new Map();
    this.#pendingGraphics.length = 0;
  }

  #isOn(mode: number): boolean {
    return usuallyOn.has(mode) !== this.#modes.has(mode);
  }

  #setModes(parameters: string, isOn: boolean): void {
    const wasOther = this.isOtherScreen;
    for (const word of parameters.split(';')) {
      const mode = numberOf(word);
      if (isOn === usuallyOn.has(mode)) this.#modes.delete(mode);
      else if (this.#modes.size < mostModes) this.#modes.add(mode);
    }
    if (wasOther && !this.isOtherScreen) this.#keyboards.other.length = 0;
  }

  #setInserting(parameters: string, isOn: boolean): void {
    if (parameters.split(';').includes('4')) this.#isInserting = isOn;
  }

  #setCharset(set: string, final: string): void {
    // B: US ASCII.
    if (final === 'B') this.#charsets.delete(set);
    else this.#charsets.set(set, final);
  }

  #setTitle(which: number, text: string): void {
    this.#titles = { icon: which === 2 ? this.#titles.icon : text, window: which === 1 ? this.#titles.window : text };
  }

  /** `CSI 22 t` saves the titles, `CSI 23 t` restores them. */
  #stackTitles(parameters: string): void {
    const action = numberOf(parameters.split(';')[0]);
    if (action === 22) pushBounded(this.#stackedTitles, this.#titles);
    else if (action === 23) this.#titles = this.#stackedTitles.pop() ?? this.#titles;
  }

  #titleSequences(): string[] {
    const titles = [...this.#stackedTitles.flatMap((one) => [...sequencesOf(one), '\x1b[22;0t'])];
    return [...titles, ...sequencesOf(this.#titles)];
  }

  #setPalette(text: string): void {
    const words = text.split(';');
    for (let index = 0; index + 1 < words.length; index += 2) {
      this.#setColour(`4;${numberOf(words[index])}`, words[index + 1] ?? '');
    }
  }

  #setColour(name: string, value: string): void {
    if (value === '' || value.startsWith('?')) return;
    if (this.#colours.has(name) || this.#colours.size < mostColours) this.#colours.set(name, value.slice(0, 64));
  }

  #forgetPalette(text: string): void {
    const names = text === ''
      ? [...this.#colours.keys()].filter((name) => name.startsWith('4;'))
      : text.split(';').map((word) => `4;${numberOf(word)}`);
    for (const name of names) this.#colours.delete(name);
  }

  /** `CSI = flags ; mode u`: mode 1 sets the flags, 2 adds them, 3 removes them. */
  #changeKeyboard(parameters: string): void {
    const [flags = '', mode = ''] = parameters.split(';');
    const before = this.#keyboard.pop() ?? 0;
    const given = numberOf(flags);
    const how = numberOf(mode);
    if (how === 2) this.#keyboard.push(before | given);
    else this.#keyboard.push(how === 3 ? before & ~given : given);
  }

  #resetSoftly(): void {
    for (const mode of softlyReset) this.#modes.delete(mode);
    [this.#isInserting, this.#isKeypad, this.#margins, this.#shift] = [false, false, '', 0];
    this.#charsets.clear();
    this.#resetGraphics();
  }

  #reset(): void {
    this.#resetSoftly();
    this.#modes.clear();
    [this.#cursorShape, this.#otherKeys, this.#link, this.#keyboards] = [0, 0, '', { main: [], other: [] }];
    this.#colours.clear();
  }
}

function sequencesOf({ icon, window }: Titles): string[] {
  if (icon === window) return icon === '' ? [] : [`\x1b]0;${icon}\x07`];
  return [...(icon === '' ? [] : [`\x1b]1;${icon}\x07`]), ...(window === '' ? [] : [`\x1b]2;${window}\x07`])];
}

function pushFlags(flags: number): string {
  return `\x1b[>${flags}u`;
}

function popFlags({ length }: readonly number[]): string[] {
  return length === 0 ? [] : [`\x1b[<${length}u`];
}

function pushBounded<T>(stack: T[], value: T): void {
  stack.push(value);
  if (stack.length > mostStacked) stack.shift();
}

/** Terminals treat a missing parameter as 0. */
function numberOf(text: string | undefined): number {
  return Math.min(Number.parseInt(text ?? '', 10) || 0, 99_999);
}
