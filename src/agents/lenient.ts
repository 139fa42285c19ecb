/**
 * Readers for data of other programs, where the protocol says that an invalid value counts as absent. Pure.
 * @module
 */
import { jsonText } from '../base/json.ts';

export type Fields = { readonly [field: string]: unknown };

/** The fields of an object; none for any other value. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? value as Fields : {};
}

/** Whether the value is an object and not a list. */
export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** `undefined` for an empty text and for any other value. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A whole number from 0 on. */
export function countOf(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? value as number : undefined;
}

/** One of the words. */
export function wordOf<const T extends string>(words: readonly T[], value: unknown): T | undefined {
  return words.find((word) => word === value);
}

/** The value in a form for people: a text as it is, anything else as JSON. */
export function shown(value: unknown, maxCharacters: number = 200): string {
  return beginning(
    typeof value === 'string' ? value : jsonText(value) ?? 'something that cannot be shown',
    maxCharacters,
  );
}

/** The value itself, or as {@link shown} if its JSON is longer than `maxCharacters`. */
export function bounded(value: unknown, maxCharacters: number): unknown {
  const json = jsonText(value);
  return json === undefined || json.length > maxCharacters ? shown(value, maxCharacters) : value;
}

/** The beginning of a text, never cut within a surrogate pair. */
export function beginning(text: string, maxCharacters: number): string {
  if (text.length <= maxCharacters) return text;
  const end = /[\ud800-\udbff]/.test(text.charAt(maxCharacters - 1)) ? maxCharacters - 1 : maxCharacters;
  // A copy, because a slice would keep the whole text in memory.
  return Buffer.from(text.slice(0, end), 'utf16le').toString('utf16le');
}
