/**
 * Text for people: tables, colour, times.
 * @module
 */
import { ReadStream } from 'node:tty';
import { tell, write } from './streams.ts';

/** Data for people on stdout. */
export function printLine(line: string): Promise<void> {
  return write(`${line}\n`);
}

/** Data for programs on stdout. */
export function printJson(value: unknown): Promise<void> {
  return write(`${JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined)}\n`);
}

/** A message on stderr: `sidecar: …`. */
export function say(message: string): void {
  tell(`sidecar: ${oneLine(message)}\n`);
}

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
export type Colour = keyof typeof codes;
export type Paint = (colour: Colour, text: string) => string;

/** @param isColour Whether colours are wanted at all. */
export function painter(isColour: boolean): Paint {
  return (colour, text) => (isColour && text !== '' ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text);
}

export interface Cell {
  readonly text: string;
  readonly colour?: Colour;
}

/**
 * Columns below their titles. The last one is cut at `width` columns; control characters are shown, never sent.
 *
 * @param options.width Columns of the terminal; `undefined`: nothing is cut.
 */
export function table(
  titles: readonly string[], rows: readonly (readonly (Cell | string)[])[], options: { paint: Paint; width?: number | undefined },
): string {
  const cells = [titles.map((text): Cell => ({ text, colour: 'dim' })), ...rows.map((row) => row.map(toCell))];
  const widths = titles.map((_, column) => Math.max(...cells.map((row) => row[column]?.text.length ?? 0)));
  const lines = cells.map((row) => {
    let used = 0;
    return row.map((cell, column) => {
      const isLast = column === row.length - 1;
      const room = options.width === undefined ? Infinity : Math.max(8, options.width - used);
      const text = isLast ? cut(cell.text, room) : cell.text.padEnd(widths[column] ?? 0);
      used += text.length + 2;
      return cell.colour === undefined ? text : options.paint(cell.colour, text);
    }).join('  ').trimEnd();
  });
  return `${lines.join('\n')}\n`;
}

/** How wide the terminal at stdout is; `undefined` where it is none, or does not say. */
export function terminalWidth(): number | undefined {
  return process.stdout.isTTY && process.stdout.columns > 0 ? process.stdout.columns : undefined;
}

/** Text of others on one line: control characters would speak to the terminal, line breaks would break the table. */
export function oneLine(text: string): string {
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) => {
    if (character === '\n') return '\u23ce';
    if (character === '\t') return ' ';
    return `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`;
  });
}

/** How long ago: `12s`, `5m`, `3h`, `2d`. Times in Unix seconds. */
export function ago(at: number, nowSeconds: number = Date.now() / 1000): string {
  const seconds = Math.max(0, nowSeconds - at);
  if (seconds < 60) return `${Math.floor(seconds)}s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ago`;
  return `${Math.floor(seconds / 86_400)}d ago`;
}

/** How long it took: `85ms`, `2.4s`, `3m12s`, `2h05m`. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)}ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(Math.floor(seconds % 60))}s`;
  return `${Math.floor(seconds / 3600)}h${two(Math.floor(seconds / 60) % 60)}m`;
}

/** `12 B`, `3.4 MiB`. */
export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${power === 0 ? bytes : (bytes / 1024 ** power).toFixed(1)} ${units[power]}`;
}

/** Whether a person types at stdin. */
export function isTyped(): boolean {
  return process.stdin instanceof ReadStream && process.stdin.isTTY;
}

function toCell(cell: Cell | string): Cell {
  return typeof cell === 'string' ? { text: oneLine(cell) } : { ...cell, text: oneLine(cell.text) };
}

function cut(text: string, room: number): string {
  return text.length <= room ? text : `${text.slice(0, Math.max(0, room - 1))}\u2026`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
