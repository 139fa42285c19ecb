/**
 * Makes text that came from outside safe to show on a terminal and in a line of a log.
 * @module
 */

// C0, DEL, C1; the marks, embeddings, overrides and isolates that change the direction of text; the line separators; the byte order mark.
const control = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Surrogate}/gu;
const short: { readonly [character: string]: string } = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Every control character as `\n`, `\x1b` or `\u202e`; the text stays on one line and in its own direction. */
export function escapeControl(text: string): string {
  return text.replace(control, (character) => short[character] ?? escapeUnit(character.charCodeAt(0)));
}

/** The same inside JSON, where C0 is escaped already: the result means what it meant. */
export function escapeJson(json: string): string {
  return json.replace(control, (character) => `\\u${hex(character.charCodeAt(0), 4)}`);
}

function escapeUnit(code: number): string {
  return code < 0x100 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}
