/**
 * Prints for people: tables, colours, times.
 * @module
 */
import { ReadStream } from 'node:tty';
import type { Config } from '../../config/config.ts';
import { escapeControl, escapeJson, escapeText } from '../../base/text/escape.ts';
import { columnsOf, cutToColumns, padToColumns, wrapToColumns } from './columns.ts';
import { writeStderr, write } from './streams.ts';

/** Prints data for people on stdout. */
export function printLine(line: string): Promise<void> {
  return write(`${escapeText(line)}\n`);
}

/** Prints data for programs on stdout, escaped so that a terminal does not act on it; its meaning stays the same. */
export function printJson(value: unknown): Promise<void> {
  return write(`${escapeJson(JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined))}\n`);
}

/** Prints one of many values on stdout, one per line. */
export function printJsonLine(value: unknown): Promise<void> {
  return write(`${escapeJson(JSON.stringify(value))}\n`);
}

/** Prints a message on stderr: `sidecar: …`. */
export function printMessage(message: string): void {
  writeStderr(`sidecar: ${oneLine(message)}\n`);
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

export interface TableOptions {
  readonly paint: Paint;
  /** Columns of the terminal; `undefined`: nothing is cut. */
  readonly width?: number | undefined;
  /** The last column is wrapped instead of cut, as all of it has to be read. */
  readonly isLastWhole?: boolean;
}

const gap = 2;
/** Columns that a cell keeps as long as other cells can shrink. */
const usefulWidth = 8;

/** Columns below their titles, no line wider than the terminal; control characters are shown as text. */
export function table(
  titles: readonly string[], rows: readonly (readonly (Cell | string)[])[], options: TableOptions,
): string {
  const cells = [titles.map((text): Cell => ({ text, colour: 'dim' })), ...rows.map((row) => row.map(toCell))];
  const needed = titles.map((_, column) => Math.max(...cells.map((row) => columnsOf(row[column]?.text ?? ''))));
  const widths = fit(needed, options.width ?? Infinity);
  return cells.map((row) => `${rowLines(row, widths, options).join('\n')}\n`).join('');
}

/** Prints a table for people on stdout, in colour if `config` says so, as wide as the terminal. */
export function printTable(
  titles: readonly string[],
  rows: readonly (readonly (Cell | string)[])[],
  { isColour }: Pick<Config, 'isColour'>,
  options: Pick<TableOptions, 'isLastWhole'> = {},
): Promise<void> {
  return write(table(titles, rows, { paint: painter(isColour(process.stdout)), width: terminalWidth(), ...options }));
}

/** Shrinks the last column first, then the others, and the first one, which is an id, at the end. */
function fit(needed: readonly number[], width: number): readonly number[] {
  const widths = [...needed];
  const [first = 0, ...rest] = widths.keys();
  for (const least of [usefulWidth, 1]) {
    for (const columns of [rest.slice(-1), rest, [first]]) shrink(widths, columns, { width, least });
  }
  return widths;
}

/** Shrinks the widest of these columns until the line fits. */
function shrink(
  widths: number[], columns: readonly number[], { width, least }: { width: number; least: number },
): void {
  let over = widths.reduce((sum, used) => sum + used + gap, -gap) - width;
  while (over > 0 && Number.isFinite(over)) {
    const [widest] = [...columns].sort((one, other) => (widths[other] ?? 0) - (widths[one] ?? 0));
    const used = widest === undefined ? 0 : widths[widest] ?? 0;
    if (widest === undefined || used <= least) return;
    const next = columns.length === 1 ? Math.max(least, used - over) : used - 1;
    widths[widest] = next;
    over -= used - next;
  }
}

function rowLines(
  row: readonly Cell[], widths: readonly number[], { paint, isLastWhole }: TableOptions,
): readonly string[] {
  const last = row.at(-1)?.text ?? '';
  const lastWidth = widths.at(-1) ?? Infinity;
  const lastLines = isLastWhole === true ? wrapToColumns(last, lastWidth) : [cutToColumns(last, lastWidth)];
  return lastLines.map((lastLine, line) => row.map(({ text, colour }, column) => {
    const isLast = column === row.length - 1;
    const part = line === 0 ? cutToColumns(text, widths[column] ?? Infinity) : '';
    const padded = isLast ? lastLine : padToColumns(part, widths[column] ?? 0);
    return colour === undefined ? padded : paint(colour, padded);
  }).join(' '.repeat(gap)).trimEnd());
}

/** Columns of the terminal at stdout or another stream; `undefined`: it is not a terminal, or its width is unknown. */
export function terminalWidth(stream: NodeJS.WriteStream = process.stdout): number | undefined {
  return stream.isTTY && stream.columns > 0 ? stream.columns : undefined;
}

/**
 * Names with their texts, in full: a text longer than the line continues below itself.
 *
 * @param options.width Columns of the terminal; `undefined`: nothing is wrapped.
 */
export function fields(
  rows: readonly (readonly [name: string, text: string])[], options: { indent: string; width: number | undefined },
): readonly string[] {
  const names = rows.map(([name]) => oneLine(name));
  const nameWidth = Math.max(0, ...names.map(columnsOf));
  const room = Math.max(usefulWidth, (options.width ?? Infinity) - options.indent.length - nameWidth - gap);
  return rows.flatMap(([, text], index) => wrapToColumns(oneLine(text), room).map((line, part) =>
    `${options.indent}${padToColumns(part === 0 ? names[index] ?? '' : '', nameWidth + gap)}${line}`));
}

/** Foreign text on one line: control characters would act on the terminal, and line breaks would break the table. */
export function oneLine(text: string): string {
  return escapeControl(text.replaceAll('\n', '\u23ce').replaceAll('\t', ' '));
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

function two(value: number): string {
  return String(value).padStart(2, '0');
}
