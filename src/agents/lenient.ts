/**
 * Reading what others have written, where the protocol says that what is wrong counts as absent. Pure.
 * @module
 */
import { jsonText } from '../base/json.ts';

export type Fields = { readonly [field: string]: unknown };

/** The fields of an object; of anything else none. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? value as Fields : {};
}

/** An object, and no list. */
export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** `undefined` for what is no text, or an empty one. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A whole number from 0. */
export function countOf(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? value as number : undefined;
}

/** One of the words. */
export function wordOf<const T extends string>(words: readonly T[], value: unknown): T | undefined {
  return words.find((word) => word === value);
}

/** How a value looks, for somebody who reads of it: a text as it is, anything else as JSON. */
export function shown(value: unknown, maxCharacters: number = 200): string {
  return beginning(typeof value === 'string' ? value : jsonText(value) ?? 'something that cannot be shown', maxCharacters);
}

/** A value as it is, or how it looks where it is longer than so many characters as JSON. */
export function bounded(value: unknown, maxCharacters: number): unknown {
  const json = jsonText(value);
  return json === undefined || json.length > maxCharacters ? shown(value, maxCharacters) : value;
}

/** How a text begins, never with half a character at its end. */
export function beginning(text: string, maxCharacters: number): string {
  if (text.length <= maxCharacters) return text;
  const end = /[\ud800-\udbff]/.test(text.charAt(maxCharacters - 1)) ? maxCharacters - 1 : maxCharacters;
  // A copy: a slice would keep the whole text.
  return Buffer.from(text.slice(0, end), 'utf16le').toString('utf16le');
}
