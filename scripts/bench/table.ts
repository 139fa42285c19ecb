/** Prints rows as a table. @module */
import type { Row, Target } from './bench.ts';

const HEADINGS = ['', 'value', 'yardstick', 'ratio', 'target', ''];
const SIGNS: Record<Target['is'], string> = { '<': '<', '<=': '≤', '>=': '≥' };

/** Formats the rows in columns; a row without a measurement shows the reason. */
export function formatTable(rows: readonly Row[]): string {
  const lines = [HEADINGS, ...rows.map(cellsOf)];
  const widths = HEADINGS.map((_, column) => {
    // A reason may have any length: it is the last cell of its line.
    return Math.max(
      ...lines.map((line) => (line.length > 2 || column === 0 ? (line[column] ?? '').length : 0)),
    );
  });
  const isNumber = (column: number): boolean => column === 1 || column === 3;
  return lines
    .map((line) => {
      const isReason = line.length === 2;
      const cells = line.map((cell, column) => {
        const width = widths[column] ?? 0;
        return isNumber(column) && !isReason ? cell.padStart(width) : cell.padEnd(width);
      });
      return cells.join('  ').trimEnd();
    })
    .join('\n');
}

/** Whether a row meets its target; undefined if it has no target. */
export function isMet(row: Row): boolean | undefined {
  if (row.kind !== 'measured' || row.target === undefined) return undefined;
  const { on, is, bound } = row.target;
  const measured = on === 'ratio' ? row.ratio : row.value;
  if (measured === undefined) return undefined;
  switch (is) {
    case '<':
      return measured < bound;
    case '<=':
      return measured <= bound;
    case '>=':
      return measured >= bound;
  }
}

function cellsOf(row: Row): string[] {
  if (row.kind !== 'measured')
    return [row.name, `${row.kind}: ${row.reason.replaceAll('\n', ' ')}`];
  const { name, value, unit, yardstick, ratio, target } = row;
  return [
    name,
    `${formatNumber(value)} ${unit}`,
    yardstick === undefined ? '' : `${formatNumber(yardstick.value)} ${unit}  ${yardstick.name}`,
    ratio === undefined ? '' : ratio.toFixed(2),
    target === undefined ? '' : `${target.on} ${SIGNS[target.is]} ${target.bound}`,
    verdictOf(row),
  ];
}

function verdictOf(row: Row): string {
  const met = isMet(row);
  if (met === undefined) return '';
  return met ? 'ok' : 'MISSED';
}

/** Formats a number with three significant digits. */
export function formatNumber(value: number): string {
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) || 1)));
  return value.toFixed(Math.min(digits, 3));
}
