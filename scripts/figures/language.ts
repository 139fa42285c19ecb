/**
 * The words that are kept out of the code, the help and the pages, and the length of a line.
 *
 * @module
 */

/** Characters of a line, at most. */
export const maxColumns = 120;

/** Words that a reader without much English stumbles over, and pictures where the field has a term. */
const unwanted: readonly RegExp[] = [
  /\bwho(ever|mever|soever)\b/, /\bwhatsoever\b/, /\b(some|no|any)body('?s)?\b/, /\banew\b/, /\blet(s|ting)? go\b/,
  /\bby and by\b/, /\b(goes|go|went|gone|going) on\b/, /\bthat is none\b/, /\bunasked\b/,
  /\b(here|there|where)(by|of|in|upon|after)\b(?<!thereafter)/, /\b(whence|thence|hither|thither|naught|nought|lest)\b/,
  /\b(keeper|visitor|lookout|surroundings)s?\b/,
];

/** The unwanted words of a line, also as parts of names: `nobodyKnows`, `is_nobody`. */
export function unwantedWordsIn(line: string): string[] {
  const words = line.replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2').replaceAll('_', ' ').toLowerCase();
  return unwanted.flatMap((pattern) => pattern.exec(words)?.[0] ?? []);
}
