/**
 * The regular expression of a search, in the words of JavaScript and in those of ripgrep, so that both find the same.
 *
 * What is taken is JavaScript with the flag `u`, without lookaround and backreferences. Each construct is written out
 * for both: `\d`, `\w`, `\s` and `\b` mean ASCII and the blanks of JavaScript; nothing matches a line feed; a carriage
 * return at the end of a line is none of it, unless the expression has one. Pure.
 *
 * @module
 */

export interface Pattern {
  /** For `new RegExp` with the flag `u`. It can be matched against many lines at once. */
  readonly js: string;
  /** In the syntax of Rust's crate `regex` (https://docs.rs/regex). */
  readonly rust: string;
}

/** The expression cannot be used; the message says why. */
export class PatternError extends Error {
  override readonly name = 'PatternError';
}

type Range = readonly [low: number, high: number];
/** `\p{…}` or `\P{…}`. */
interface Property {
  readonly name: string;
  readonly isNegated: boolean;
}

const [lineFeed, carriageReturn, last] = [0x0a, 0x0d, 0x10_ffff];
/** ECMA-262 §22.2.2.9; blanks are WhiteSpace and LineTerminator but for those that end lines here. */
const shorthands: { readonly [letter: string]: readonly Range[] } = {
  d: [[0x30, 0x39]],
  w: [[0x30, 0x39], [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]],
  s: [
    [0x09, 0x09], [0x0b, 0x0c], [0x20, 0x20], [0xa0, 0xa0], [0x1680, 0x1680], [0x2000, 0x200a], [0x2028, 0x2029],
    [0x202f, 0x202f], [0x205f, 0x205f], [0x3000, 0x3000], [0xfeff, 0xfeff],
  ],
};
/** Long s and Kelvin: where case does not count they are letters of \w, so neither is one of \W. */
const foldedToWords: readonly Range[] = [[0x17f, 0x17f], [0x212a, 0x212a]];
const controls: { readonly [letter: string]: number } = { t: 0x09, n: lineFeed, v: 0x0b, f: 0x0c, r: carriageReturn };
/** In what is decoded, bytes that are not UTF-8 are lone surrogates: no class contains them, as with ripgrep. */
const surrogates: Range = [0xd800, 0xdfff];
const lineEnds: readonly Range[] = [[lineFeed, lineFeed], [carriageReturn, carriageReturn]];
const anchors: { readonly [character: string]: Pattern } = {
  '^': { js: '(?<![^\\n])', rust: '(?m:^)' },
  '$': { js: '(?:\\r?(?![^\\n]))', rust: '(?:\\r?(?m:$))' },
};
const boundaries: { readonly [letter: string]: Pattern } = {
  'b': { js: '\\b', rust: '(?-u:\\b)' },
  'B': { js: '\\B', rust: '(?-u:\\B)' },
};

/** Text as an expression that matches only it. @throws PatternError. */
export function patternOfText(text: string): Pattern {
  return joined(Array.from(text, (character) => literal(character.codePointAt(0) ?? 0)));
}

/** @throws PatternError. */
export function patternOf(source: string): Pattern {
  try {
    // Only its syntax is checked here; V8 compiles it when it is first used.
    new RegExp(source, 'u');
  } catch (error) {
    throw new PatternError((error as Error).message.replace(/^Invalid regular expression: \/.*\/u?: /s, ''));
  }
  return joined([...new Translation(source).parts()]);
}

function joined(parts: readonly Pattern[]): Pattern {
  return { js: parts.map(({ js }) => js).join(''), rust: parts.map(({ rust }) => rust).join('') };
}

function same(text: string): Pattern {
  return { js: text, rust: text };
}

function literal(code: number): Pattern {
  if (code === lineFeed) throw new PatternError('a match is within one line, so it has no line feed');
  if (surrogates[0] <= code && code <= surrogates[1]) throw new PatternError('a lone surrogate is no character');
  const character = String.fromCodePoint(code);
  return /\w/.test(character) ? same(character) : { js: inJs(code), rust: inRust(code) };
}

/** Reads an expression whose syntax is right. */
class Translation {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  *parts(): Generator<Pattern, void> {
    while (this.#at < this.#source.length) {
      const character = this.#next();
      if (character === '\\') yield this.#escaped();
      else if (character === '[') yield this.#class();
      else if (character === '(') yield this.#group();
      else if (character === '.') yield classOf({ isNegated: true, ranges: [[0x2028, 0x2029]], properties: [] });
      else if (character === '{') yield same(`{${this.#until('}')}}`);
      else if (/[)|*+?]/.test(character)) yield same(character);
      else yield anchors[character] ?? literal(character.codePointAt(0) ?? 0);
    }
  }

  #next(): string {
    const character = String.fromCodePoint(this.#source.codePointAt(this.#at) ?? 0);
    this.#at += character.length;
    return character;
  }

  /** The text before `end`, which is passed, too. */
  #until(end: string): string {
    const begin = this.#at;
    this.#at = this.#source.indexOf(end, begin) + end.length;
    return this.#source.slice(begin, this.#at - end.length);
  }

  #isNext(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #group(): Pattern {
    if (!this.#isNext('?') || this.#isNext(':')) return same('(?:');
    if (/^<[^=!]/.test(this.#source.slice(this.#at, this.#at + 2))) {
      this.#until('>');
      return same('(?:');
    }
    const isLook = /^<?[=!]/.test(this.#source.slice(this.#at, this.#at + 2));
    throw new PatternError(isLook ? 'lookaround is not supported' : 'flags within the expression are not supported');
  }

  #escaped(): Pattern {
    const letter = this.#source[this.#at] ?? '';
    if (/[1-9k]/.test(letter)) throw new PatternError('backreferences are not supported');
    const boundary = boundaries[letter];
    if (boundary !== undefined) {
      this.#at += 1;
      return boundary;
    }
    const atom = this.#atom();
    if (typeof atom === 'number') return literal(atom);
    if ('name' in atom) return classOf({ isNegated: false, ranges: [], properties: [atom] });
    return classOf({ isNegated: false, ranges: atom, properties: [] });
  }

  /** What an escape stands for: a character, several, or a property. */
  #atom(): number | readonly Range[] | Property {
    const letter = this.#next();
    const shorthand = shorthands[letter.toLowerCase()];
    if (shorthand !== undefined) {
      if (/[dws]/.test(letter)) return shorthand;
      return allBut(letter === 'W' ? [...shorthand, ...foldedToWords] : shorthand);
    }
    if (/[pP]/.test(letter) && this.#isNext('{')) return { name: this.#until('}'), isNegated: letter === 'P' };
    if (letter === 'u') return this.#isNext('{') ? Number.parseInt(this.#until('}'), 16) : this.#unit();
    if (letter === 'x') return Number.parseInt(this.#take(2), 16);
    if (letter === 'c') return this.#next().charCodeAt(0) % 32;
    if (letter === '0') return 0;
    return controls[letter] ?? letter.codePointAt(0) ?? 0;
  }

  /** `\ud83d\ude00` is one character. */
  #unit(): number {
    const unit = Number.parseInt(this.#take(4), 16);
    const second = /^\\u(d[c-f][\da-f]{2})/i.exec(this.#source.slice(this.#at, this.#at + 6));
    if (unit < 0xd800 || unit > 0xdbff || second === null) return unit;
    this.#at += 6;
    return String.fromCharCode(unit, Number.parseInt(second[1] ?? '', 16)).codePointAt(0) ?? 0;
  }

  #take(length: number): string {
    this.#at += length;
    return this.#source.slice(this.#at - length, this.#at);
  }

  #class(): Pattern {
    const isNegated = this.#isNext('^');
    const ranges: Range[] = [];
    const properties: Property[] = [];
    while (!this.#isNext(']')) {
      const low = this.#member();
      if (typeof low !== 'number') {
        if ('name' in low) properties.push(low);
        else ranges.push(...low);
        continue;
      }
      const isRange = this.#source[this.#at] === '-' && this.#source[this.#at + 1] !== ']';
      if (isRange) this.#at += 1;
      const high = isRange ? this.#member() : low;
      ranges.push([low, typeof high === 'number' ? high : low]);
    }
    return classOf({ isNegated, ranges, properties });
  }

  #member(): number | readonly Range[] | Property {
    const character = this.#next();
    if (character !== '\\') return character.codePointAt(0) ?? 0;
    if (this.#isNext('b')) return 0x08;
    return this.#atom();
  }
}

interface CharacterClass {
  readonly isNegated: boolean;
  readonly ranges: readonly Range[];
  readonly properties: readonly Property[];
}

function classOf({ isNegated, ranges, properties }: CharacterClass): Pattern {
  if (isNegated) return bracket('^', [...ranges, ...lineEnds, surrogates], properties);
  const plain = without(without(ranges, [lineFeed, lineFeed]), surrogates);
  const positive = properties.filter((property) => !property.isNegated);
  const alternatives = [
    ...(plain.length === 0 && positive.length === 0 ? [] : [bracket('', plain, positive)]),
    // All but those with the property; lines do not end in the middle of it.
    ...properties.filter((property) => property.isNegated).map(({ name }) =>
      bracket('^', [...lineEnds, surrogates], [{ name, isNegated: false }])),
  ];
  const [only, ...others] = alternatives;
  // What never matches: an empty class is an error to ripgrep.
  if (only === undefined) return { js: '(?!)', rust: '(?-u:\\b\\B)' };
  if (others.length === 0) return only;
  const rest = others.flatMap((one) => [same('|'), one]);
  return joined([same('(?:'), only, ...rest, same(')')]);
}

function bracket(begin: string, ranges: readonly Range[], properties: readonly Property[]): Pattern {
  const named = properties.map(({ name, isNegated }) => `\\${isNegated ? 'P' : 'p'}{${name}}`).join('');
  const written = (of: readonly Range[], write: (code: number) => string): string => {
    const members = of.map(([low, high]) => (low === high ? write(low) : `${write(low)}-${write(high)}`));
    return `[${begin}${members.join('')}${named}]`;
  };
  return { js: written(ranges, inJs), rust: written(without(ranges, surrogates), inRust) };
}

function allBut(ranges: readonly Range[]): readonly Range[] {
  return [...lineEnds, ...ranges].reduce<readonly Range[]>(without, [[0, last]]);
}

function without(ranges: readonly Range[], [begin, end]: Range): readonly Range[] {
  return ranges.flatMap(([low, high]): readonly Range[] => {
    if (high < begin || low > end) return [[low, high]];
    return [...(low < begin ? [[low, begin - 1] as const] : []), ...(high > end ? [[end + 1, high] as const] : [])];
  });
}

function inJs(code: number): string {
  return `\\u{${code.toString(16)}}`;
}

function inRust(code: number): string {
  return `\\x{${code.toString(16)}}`;
}
