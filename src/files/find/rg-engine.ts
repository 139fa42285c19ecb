/**
 * Searches the content of files by ripgrep, where the machine has it.
 *
 * Globs that a name must match are not given to it as such: `--glob` would also find what is ignored. They become a
 * type, which only chooses among what is not, and are checked again here.
 *
 * @module
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setPriority } from 'node:os';
import type { Readable } from 'node:stream';
import { onAbort } from '../../base/abort.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { expandBraces } from './glob.ts';
import { type Findings, type Found, type FoundLine, maxLineBytes, shownLine } from './found.ts';
import { NameFilter, type NameFilterOptions } from './name-filter.ts';
import { repositories } from './walk.ts';

export interface RgOrder {
  readonly file: string;
  /** `HeldDirectory.path`. */
  readonly directory: string;
  /** Only the file with this name in it. */
  readonly only: string | undefined;
  /** In Rust's syntax. */
  readonly pattern: string;
  readonly isCaseSensitive: boolean;
  readonly names: NameFilterOptions;
  readonly isIgnoredFound: boolean;
  readonly isHiddenFound: boolean;
  readonly before: number;
  readonly after: number;
  readonly lineCharacters: number;
}

/** This ripgrep does not take the order: it has found nothing. */
export class RgError extends Error {
  override readonly name = 'RgError';
}

/** A message of ripgrep: a line as JSON, with all its matches. Longer ones are left out. */
const maxMessageBytes = 4 * maxLineBytes;
const maxStderrCharacters = 4096;
const newline = 0x0a;
/** Lower than that of the server, as with jobs. */
const priority = 10;

/** @throws RgError; ProblemError file_unusable where it ends before all is found. */
export async function* searchByRg(order: RgOrder, signal: AbortSignal): Findings {
  const child = spawn(order.file, argumentsOf(order), {
    cwd: order.directory, env: {}, stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true,
  });
  const ended = once(child, 'close').catch((error: unknown) => error);
  const stop = onAbort(signal, () => child.kill('SIGKILL'));
  const complaints = complaintsOf(child);
  try {
    stepBack(child.pid);
    const messages = new Messages(order);
    let hasFound = false;
    for await (const chunk of child.stdout) {
      const found = messages.push(chunk as Buffer);
      if (found.length === 0) continue;
      hasFound = true;
      yield found;
    }
    await ended;
    if (!signal.aborted && !messages.isComplete) {
      const reason = complaints.text || 'it was ended, or could not be started';
      if (hasFound) throw new ProblemError('file_unusable', `Cannot find all: ripgrep says ${reason}`);
      throw new RgError(reason);
    }
    return { unreadable: complaints.lines, longLines: messages.longLines };
  } finally {
    stop();
    child.kill('SIGKILL');
    child.stdout.destroy();
    await ended;
  }
}

function argumentsOf(order: RgOrder): readonly string[] {
  const { isCaseSensitive, isIgnoredFound, isHiddenFound, only, names, before, after } = order;
  const unwanted = [
    ...(isHiddenFound ? [] : ['.*']), ...(isIgnoredFound ? [] : repositories),
    ...names.globs.filter((glob) => glob.startsWith('!')).flatMap((glob) => plainGlobs(glob.slice(1)) ?? []),
  ];
  const globs = only === undefined
    ? unwanted.map((glob) => `--glob=!${glob}`)
    : [`--glob=/${only.replaceAll(/[*?[\]{}\\!]/g, '\\$&')}`, '--max-depth=1'];
  return [
    '--json', '--no-config', '--sort=path', '--no-mmap', '--hidden', '--no-require-git', '--no-ignore-global',
    '--no-ignore-exclude', '--no-ignore-messages', ...(isIgnoredFound ? ['--no-ignore'] : []),
    isCaseSensitive ? '--case-sensitive' : '--ignore-case', ...(isCaseSensitive ? [] : ['--glob-case-insensitive']),
    `--before-context=${before}`, `--after-context=${after}`, ...globs, ...typesOf(order), '--', order.pattern, './',
  ];
}

/** A type of which all names are that one of the globs takes, and maybe others. */
function typesOf({ names, only, isCaseSensitive }: RgOrder): readonly string[] {
  if (only !== undefined || !isCaseSensitive) return [];
  const wanted = names.globs.filter((glob) => !glob.startsWith('!'))
    .map((glob) => plainGlobs(glob)?.map((path) => path.slice(path.lastIndexOf('/') + 1)));
  const plain = wanted.flatMap((globs) => globs ?? []);
  const isSure = wanted.length > 0 && !wanted.includes(undefined) && !plain.includes('**') && !plain.includes('');
  return isSure ? [...plain.map((glob) => `--type-add=wanted:${glob}`), '--type=wanted'] : [];
}

/** Without braces; `undefined`: it has something that ripgrep may take in another way. */
function plainGlobs(glob: string): readonly string[] | undefined {
  const globs = expandBraces(glob);
  return globs.every((one) => /^[\w.*/ -]+$/.test(one)) ? globs : undefined;
}

function stepBack(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, priority);
  } catch {
    // It has ended already.
  }
}

/** A line for each file that cannot be read. */
function complaintsOf(child: ChildProcessByStdio<null, Readable, Readable>): { text: string; lines: number } {
  const complaints = { text: '', lines: 0 };
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints.lines += text.split('\n').length - 1;
    complaints.text = (complaints.text + text).slice(0, maxStderrCharacters);
  });
  return complaints;
}

/** Text or, where that is not UTF-8, its bytes in base64. */
type Data = { readonly text: string } | { readonly bytes: string };

/** What is used of the messages: https://docs.rs/grep-printer, `JSON`. */
type Message =
  | {
    readonly type: 'match' | 'context';
    readonly data: {
      readonly path: Data; readonly lines: Data; readonly line_number: number;
      readonly submatches: readonly { readonly start: number; readonly end: number }[];
    };
  }
  | { readonly type: 'begin' | 'end' | 'summary' };

/** Reads the messages of ripgrep as they arrive. */
class Messages {
  longLines = 0;
  isComplete = false;
  readonly #order: RgOrder;
  readonly #filter: NameFilter;
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** The path of the last message, and whether the search is for it. */
  #last: { readonly path: string; readonly isWanted: boolean } = { path: '', isWanted: false };

  constructor(order: RgOrder) {
    this.#order = order;
    this.#filter = new NameFilter(order.names);
  }

  push(chunk: Buffer): readonly Found[] {
    const found: Found[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      this.#keep(chunk.subarray(start, end));
      const one = this.#take();
      if (one !== undefined) found.push(one);
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
    return found;
  }

  #keep(piece: Buffer): void {
    this.#bytes += piece.length;
    if (this.#bytes > maxMessageBytes) this.#pieces = [];
    else if (piece.length > 0) this.#pieces.push(piece);
  }

  #take(): Found | undefined {
    const isTooLong = this.#bytes > maxMessageBytes;
    const bytes = Buffer.concat(this.#pieces);
    [this.#pieces, this.#bytes] = [[], 0];
    if (isTooLong) {
      this.longLines += 1;
      return undefined;
    }
    const message = JSON.parse(bytes.toString()) as Message;
    if (message.type === 'summary') this.isComplete = true;
    if (message.type !== 'match' && message.type !== 'context') return undefined;
    const { data } = message;
    const path = bytesOf(data.path).toString('latin1').replace(/^\.[/\\]/, '');
    if (path !== this.#last.path) this.#last = { path, isWanted: this.#isWanted(path) };
    if (!this.#last.isWanted) return undefined;
    const line = lineOf(data, message.type === 'match');
    if (line.text.length > maxLineBytes) {
      this.longLines += 1;
      return undefined;
    }
    return { path, record: shownLine(line, this.#order.lineCharacters) };
  }

  #isWanted(path: string): boolean {
    return this.#order.only !== undefined
      || this.#filter.takesFile(Buffer.from(path, 'latin1').toString().split(/[/\\]/));
  }
}

function lineOf(
  { lines, line_number: number, submatches }: Extract<Message, { type: 'match' | 'context' }>['data'],
  isMatch: boolean,
): FoundLine {
  const text = ('text' in lines ? lines.text : Buffer.from(lines.bytes, 'base64').toString('latin1'))
    .replace(/\r?\n$|\r$/, '');
  if (!isMatch) return { number, text, ranges: undefined };
  // Of an empty match at the end of a file that does not end with a line feed, ripgrep does not say where it is.
  if (submatches.length === 0) return { number, text, ranges: [[text.length, text.length]] };
  const unitsBefore = unitsCounter(lines, text);
  // Empty matches are not shown, and may be within a character.
  const shown = submatches.filter(({ start, end }, index) => index === 0 || start < end);
  return { number, text, ranges: shown.map(({ start, end }) => [unitsBefore(start), unitsBefore(end)] as const) };
}

/** How many UTF-16 units of the text so many of its bytes are, at most all of it. */
function unitsCounter(lines: Data, text: string): (bytes: number) => number {
  if (!('text' in lines) || /^[\0-\x7f]*$/.test(text)) return (count) => Math.min(count, text.length);
  const bytes = Buffer.from(text);
  let [passed, units] = [0, 0];
  return (count) => {
    // They are asked for in order, so that each byte is decoded once.
    units += bytes.toString('utf8', passed, count).length;
    passed = count;
    return units;
  };
}

function bytesOf(data: Data): Buffer {
  return 'text' in data ? Buffer.from(data.text) : Buffer.from(data.bytes, 'base64');
}
