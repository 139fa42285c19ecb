/**
 * The time as it stands in records and on the wire.
 * @module
 */

/** Seconds since 1970, with fractions. */
export function unixSeconds(): number {
  return Date.now() / 1000;
}
