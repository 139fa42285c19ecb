/**
 * Limits the length of texts and values that other programs send. Pure.
 * @module
 */
import { jsonText } from './json.ts';

/** The beginning of a text, never cut within a surrogate pair. */
export function truncate(text: string, maxCharacters: number): string {
  if (text.length <= maxCharacters) return text;
  const end = /[\ud800-\udbff]/.test(text.charAt(maxCharacters - 1)) ? maxCharacters - 1 : maxCharacters;
  // A copy, because a slice would keep the whole text in memory.
  return Buffer.from(text.slice(0, end), 'utf16le').toString('utf16le');
}

/** The value itself, or its {@link displayText} if its JSON is longer than `maxCharacters`. */
export function truncateJson(value: unknown, maxCharacters: number): unknown {
  const json = jsonText(value);
  return json === undefined || json.length > maxCharacters ? displayText(value, maxCharacters) : value;
}

/** The value in a form for people: a text as it is, anything else as JSON. */
export function displayText(value: unknown, maxCharacters: number = 200): string {
  return truncate(
    typeof value === 'string' ? value : jsonText(value) ?? 'something that cannot be shown',
    maxCharacters,
  );
}
