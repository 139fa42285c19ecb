/**
 * Globs as in .gitignore, matched without regular expressions: the time is bounded by the lengths of glob and path.
 * Pure.
 * @module
 */

type Range = readonly [low: string, high: string];
/** What stands for one character. */
type Token = string | { readonly isNegated: boolean; readonly ranges: readonly Range[] };
/** `*` is any number of characters, `?` one. */
type Tokens = readonly (Token | typeof star | typeof one)[];
const star = Symbol('*');
const one = Symbol('?');
/** Any number of directories. */
const directories = Symbol('**');

export interface Glob {
  readonly segments: readonly (Tokens | typeof directories)[];
  /** It has a slash before its end: it is a path from the directory on to which the glob belongs, not a name. */
  readonly isPath: boolean;
  readonly isDirectoryOnly: boolean;
}

/** The glob cannot be read; the message says why. */
export class GlobError extends Error {
  override readonly name = 'GlobError';
}

/** Globs with all their braces resolved have at most so many characters together. */
const maxCharacters = 8192;

/** @throws GlobError. */
export function parseGlobs(text: string): readonly Glob[] {
  return expandBraces(text).map(parseGlob);
}

/**
 * Whether a glob matches a path.
 *
 * @param path Its parts. @param from The first of them that is below the directory of the glob.
 */
export function matchesGlob(glob: Glob, path: readonly string[], from: number, isDirectory: boolean): boolean {
  if (glob.isDirectoryOnly && !isDirectory) return false;
  const { segments, isPath } = glob;
  const [name] = segments;
  if (!isPath && segments.length === 1 && name !== undefined && name !== directories) {
    return matchesName(name, path.at(-1) ?? '');
  }
  return matchesPath(segments, path, from);
}

/** The text of a glob without its braces: each alternative. @throws GlobError. */
export function expandBraces(text: string): readonly string[] {
  const expanded: string[] = [];
  const queue = [text];
  for (let characters = 0; queue.length > 0;) {
    const next = queue.pop() ?? '';
    characters += next.length;
    if (characters > maxCharacters) throw new GlobError('its braces have too many alternatives');
    const braces = firstBraces(next);
    if (braces === undefined) expanded.push(next);
    else queue.push(...braces.parts.map((part) => braces.before + part + braces.behind).reverse());
  }
  return expanded;
}

interface Braces {
  readonly before: string;
  readonly parts: readonly string[];
  readonly behind: string;
}

/** The first braces, with what is between their commas; braces within them stay. */
function firstBraces(text: string): Braces | undefined {
  const parts: string[] = [];
  let [depth, begin, from] = [0, 0, 0];
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '\\') at += 1;
    else if (character === '[') at = Math.max(at, endOfClass(text, at));
    else if (character === '{') {
      if (depth === 0) [begin, from] = [at, at + 1];
      depth += 1;
    } else if (character === ',' && depth === 1) {
      parts.push(text.slice(from, at));
      from = at + 1;
    } else if (character === '}') {
      if (depth === 0) throw new GlobError('a } is without its {');
      depth -= 1;
      if (depth > 0) continue;
      return { before: text.slice(0, begin), parts: [...parts, text.slice(from, at)], behind: text.slice(at + 1) };
    }
  }
  if (depth > 0) throw new GlobError('a { is without its }');
  return undefined;
}

/** The index of the `]` of a class that begins at `at`; -1: there is none. */
function endOfClass(text: string, at: number): number {
  const first = at + (/^[!^]/.test(text.slice(at + 1, at + 2)) ? 2 : 1);
  return text.indexOf(']', first + 1);
}

function parseGlob(text: string): Glob {
  const isDirectoryOnly = text.endsWith('/');
  const trimmed = isDirectoryOnly ? text.slice(0, -1) : text;
  const isPath = trimmed.includes('/');
  const parts = trimmed.replace(/^\//, '').split('/');
  if (parts.every((part) => part === '')) throw new GlobError('it names nothing');
  const segments = parts.map((part) => (part === '**' ? directories : tokensOf(part)));
  return { segments, isPath, isDirectoryOnly };
}

function tokensOf(text: string): Tokens {
  const tokens: (Token | typeof star | typeof one)[] = [];
  for (let at = 0; at < text.length;) {
    const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
    at += character.length;
    if (character === '*') {
      if (tokens.at(-1) !== star) tokens.push(star);
    } else if (character === '?') tokens.push(one);
    else if (character === '[') {
      const end = endOfClass(text, at - 1);
      if (end < 0) throw new GlobError('a [ is without its ]');
      tokens.push(classOf(text.slice(at, end)));
      at = end + 1;
    } else if (character === '\\') {
      if (at === text.length) throw new GlobError('a \\ is at its end');
      const escaped = String.fromCodePoint(text.codePointAt(at) ?? 0);
      tokens.push(escaped);
      at += escaped.length;
    } else tokens.push(character);
  }
  return tokens;
}

function classOf(text: string): Token {
  const isNegated = /^[!^]/.test(text);
  const characters = Array.from(isNegated ? text.slice(1) : text);
  const ranges: Range[] = [];
  for (let at = 0; at < characters.length; at += 1) {
    const low = characters[at] ?? '';
    const high = characters[at + 1] === '-' && at + 2 < characters.length ? characters[at += 2] ?? low : low;
    if (compare(low, high) > 0) throw new GlobError(`the range ${low}-${high} is the wrong way round`);
    ranges.push([low, high]);
  }
  return { isNegated, ranges };
}

/** As matching a name, with parts instead of characters. */
function matchesPath(segments: Glob['segments'], path: readonly string[], from: number): boolean {
  let [segment, part, retrySegment, retryPart] = [0, from, -1, 0];
  while (part < path.length) {
    const wanted = segments[segment];
    if (wanted === directories) {
      // At the end it stands for something: `a/**` is what is in `a`.
      if (segment === segments.length - 1) return true;
      [retrySegment, retryPart] = [segment += 1, part];
    } else if (wanted !== undefined && matchesName(wanted, path[part] ?? '')) {
      segment += 1;
      part += 1;
    } else if (retrySegment >= 0) [segment, part] = [retrySegment, retryPart += 1];
    else return false;
  }
  return segment === segments.length;
}

/** Only the last `*` is tried again: what an earlier one could take more, the last one can. */
function matchesName(tokens: Tokens, text: string): boolean {
  const characters = /^[\0-\x7f]*$/.test(text) ? text : Array.from(text);
  let [token, at, retryToken, retryAt] = [0, 0, -1, 0];
  while (at < characters.length) {
    const wanted = tokens[token];
    if (wanted === star) [retryToken, retryAt] = [token += 1, at];
    else if (wanted !== undefined && matchesCharacter(wanted, characters[at] ?? '')) {
      token += 1;
      at += 1;
    } else if (retryToken >= 0) [token, at] = [retryToken, retryAt += 1];
    else return false;
  }
  while (tokens[token] === star) token += 1;
  return token === tokens.length;
}

function matchesCharacter(token: Token | typeof one | typeof star, character: string): boolean {
  if (typeof token === 'string') return token === character;
  if (typeof token === 'symbol') return token === one;
  const isIn = token.ranges.some(([low, high]) => compare(low, character) <= 0 && compare(character, high) <= 0);
  return isIn !== token.isNegated;
}

function compare(a: string, b: string): number {
  return (a.codePointAt(0) ?? 0) - (b.codePointAt(0) ?? 0);
}
