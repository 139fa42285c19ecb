/**
 * Makes text that came from outside safe to show on a terminal and in a line of a log.
 * @module
 */

// C0, DEL, C1; the marks, embeddings, overrides and isolates that change the direction of text; the line separators;
// the byte order mark.
const control = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Surrogate}/gu;
const short: { readonly [character: string]: string } = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Writes every control character as `\n`, `\x1b` or `\u202e`; the text stays on one line and in its own direction. */
export function escapeControl(text: string): string {
  return text.replace(control, (character) => short[character] ?? escapeUnit(character.charCodeAt(0)));
}

/**
 * Escapes control characters inside JSON, where all of C0 is escaped already except line breaks between values. The
 * meaning of the JSON stays the same.
 */
export function escapeJson(json: string): string {
  return json.replace(control, (character) =>
    (character === '\n' ? character : `\\u${hex(character.charCodeAt(0), 4)}`));
}

/**
 * For text of several lines: line breaks and tabs stay, carriage returns are removed, other control characters are
 * escaped.
 */
export function escapeText(text: string): string {
  return text.replace(control, (character) => {
    if (character === '\n' || character === '\t') return character;
    return character === '\r' ? '' : escapeUnit(character.charCodeAt(0));
  });
}

/**
 * For text in which every character counts, such as a command to be approved. Result on one line: a single blank
 * between words stays; all other blanks and every invisible character become visible: `␣`, `⇥`, `⏎`, `\u{200b}`.
 */
export function exposeText(text: string): string {
  const blanks = text.replace(/ {2,}|^ | $/g, (run) => '\u2423'.repeat(run.length))
    .replaceAll('\t', '\u21e5').replaceAll('\n', '\u23ce');
  // Characters without width or ink: fillers, joiners, variation selectors, tags, every blank but the space, the blank
  // of Braille. Compiled here, not at load: V8 needs half a millisecond to read such classes.
  const invisible = /\p{Default_Ignorable_Code_Point}|\p{Cf}|(?! )\p{White_Space}|\u2800/gu;
  const shown = (character: string): string => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  return escapeControl(blanks).replace(invisible, shown);
}

function escapeUnit(code: number): string {
  return code < 0x100 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}
