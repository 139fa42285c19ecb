/**
 * Converts terminal output to plain text: without escape sequences, each line in its final state. Pure.
 *
 * It works line by line: what a program draws by moving the cursor up and down appears in the order in which it was
 * drawn.
 * @module
 */

// ECMA-48: CSI with parameters, intermediates and a final byte; strings (OSC, DCS, SOS, PM, APC) to BEL or ST; other
// escapes with their intermediates; and control characters, of which only those that move within a line have an effect.
const sequence = new RegExp([
  /\x1b\[([0-?]*)[ -/]*([@-~])/, /\x1b\[[0-?]*[ -/]*$/, /\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)/,
  /\x1b[ -/]*[0-~]?/, /[\0-\x1f\x7f]/,
].map(({ source }) => source).join('|'), 'gu');

/** Limits on the text of a program that moves the cursor far: no window is wider, and no text needs more padding. */
const widest = 4096;
const mostSpaces = 2 ** 20;

export function plainText(output: string): string {
  const lines: string[] = [];
  let line: string[] = [];
  let column = 0;
  let spacesLeft = mostSpaces;
  const write = (text: string): void => {
    for (const character of text) {
      while (line.length < column && spacesLeft > 0) { line.push(' '); spacesLeft -= 1; }
      column = Math.min(column, line.length);
      line[column] = character;
      column += 1;
    }
  };
  const move = (parameters: string, final: string): void => {
    const amount = Math.min(Number.parseInt(parameters, 10) || 0, widest);
    const count = Math.max(1, amount);
    const isWindow = line.length < widest;
    if (final === 'C') column = Math.max(column, Math.min(column + count, widest));
    else if (final === 'D') column = Math.max(0, column - count);
    else if (final === 'G') column = count - 1;
    else if (final === 'P' && isWindow) line.splice(column, count);
    else if (final === '@' && isWindow && column < line.length && count <= spacesLeft) {
      line.splice(column, 0, ...Array.from({ length: count }, () => ' '));
      spacesLeft -= count;
    }
    if (final === 'K' && amount === 0) line.length = Math.min(line.length, column);
    else if (final === 'K' && amount === 2) line = [];
  };
  let at = 0;
  for (const match of output.matchAll(sequence)) {
    write(output.slice(at, match.index));
    at = match.index + match[0].length;
    const [whole, parameters, final] = match;
    if (final !== undefined) move(parameters ?? '', final);
    else if (whole === '\r') column = 0;
    else if (whole === '\b') column = Math.max(0, column - 1);
    else if (whole === '\t') column = Math.max(column, Math.min((Math.floor(column / 8) + 1) * 8, widest));
    else if (whole === '\n') {
      lines.push(line.join('').trimEnd());
      line = [];
      column = 0;
    }
  }
  write(output.slice(at));
  return [...lines, line.join('').trimEnd()].join('\n');
}
