/**
 * Escapes text for XML, and back (https://www.w3.org/TR/xml/ §2.4 and §4.6).
 * @module
 */
import { assertNoControlCharacter } from './service.ts';

const entities: { readonly [character: string]: string } = {
  '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;',
};

/** @throws RangeError for a control character: XML 1.0 cannot represent most of them. */
export function escapeXml(text: string): string {
  assertNoControlCharacter(text);
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character);
}

export function unescapeXml(text: string): string {
  const found = (entity: string): string =>
    Object.keys(entities).find((character) => entities[character] === entity) ?? entity;
  return text.replaceAll(/&\w+;/g, found);
}
