/**
 * Measures how many columns text takes on a terminal, and cuts, pads and wraps text to a number of columns.
 * @module
 */

// Wide and fullwidth characters of Unicode's UAX 11, as far as their script tells, and emoji.
const scripts = String.raw`\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}`;
const wide = new RegExp(String.raw`[${scripts}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]`, 'u');
const zeroWidth = /\p{Mn}|\p{Me}|\p{Cf}/u;
const plain = /^[\x20-\x7e]*$/;

/** Columns of one line without control characters. */
export function columnsOf(text: string): number {
  if (plain.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += widthOf(character);
  return columns;
}

/** @returns The text, or its beginning and `…` if it takes more than `room` columns. */
export function cutToColumns(text: string, room: number): string {
  if (columnsOf(text) <= room) return text;
  const [first = ''] = room < 2 ? [] : wrapToColumns(text, room - 1);
  return `${first}\u2026`;
}

/** @returns The text, padded with blanks to `width` columns. */
export function padToColumns(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - columnsOf(text)));
}

/** Breaks the text wherever a line is full; no character is lost. @returns At least one line. */
export function wrapToColumns(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  let used = 0;
  for (const character of text) {
    const columns = widthOf(character);
    if (line !== '' && used + columns > width) {
      lines.push(line);
      [line, used] = ['', 0];
    }
    line += character;
    used += columns;
  }
  return [...lines, line];
}

function widthOf(character: string): number {
  if (plain.test(character)) return 1;
  if (zeroWidth.test(character)) return 0;
  return wide.test(character) ? 2 : 1;
}
