/**
 * Lines that are the same but for blanks: at their ends, carriage returns, and an indentation that all have in common.
 * Text is bytes, so only ASCII counts as blank.
 * @module
 */

const blankEnds = /^[ \t\f\v\r]+|[ \t\f\v\r]+$/g;

/** What a line is without blanks at its ends. */
export function core(line: string): string {
  return line.replaceAll(blankEnds, '');
}

/** What all lines with something in them begin with. `''` also where there is none. */
export function commonIndent(lines: readonly string[]): string {
  let common: string | undefined;
  for (const line of lines) {
    if (core(line) === '') continue;
    const indent = /^[ \t]*/.exec(line)?.[0] ?? '';
    if (common === undefined) common = indent;
    while (!indent.startsWith(common)) common = common.slice(0, -1);
  }
  return common ?? '';
}

/** Whether lines with the same cores are indented in the same way. */
export function isSameShape(wanted: readonly string[], found: readonly string[]): boolean {
  const [own, other] = [commonIndent(wanted), commonIndent(found)];
  return wanted.every((line, index) => {
    if (core(line) === '') return true;
    const rest = (found[index] ?? '').slice(other.length);
    return trimmedEnd(line.slice(own.length)) === trimmedEnd(rest);
  });
}

/** A line with the indentation `to` in place of `from`, where it has that. */
export function reindented(line: string, from: string, to: string): string {
  return core(line) !== '' && line.startsWith(from) ? to + line.slice(from.length) : line;
}

function trimmedEnd(line: string): string {
  return line.replace(/[ \t\f\v\r]+$/, '');
}
