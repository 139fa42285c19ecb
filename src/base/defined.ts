/**
 * Objects without the fields that are `undefined`: an optional field is absent or has a value
 * (`exactOptionalPropertyTypes`).
 * @module
 */

/** The fields of `value` that are not `undefined`: `{ id, ...defined({ name, labels }) }`. */
export function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}
