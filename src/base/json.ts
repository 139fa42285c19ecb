/**
 * Writes values that came from outside as JSON, however deep they are.
 * @module
 */

/** Deeper is no data that a program means; JSON.stringify of Node 24 and before overflows its stack at thousands. */
const maxDepth = 1000;

/** @returns The value as JSON, `nothing` for `undefined`; `undefined` when it is nested more than 1000 deep. */
export function jsonText(value: unknown): string | undefined {
  return isDeeperThan(value, maxDepth) ? undefined : JSON.stringify(value) ?? 'nothing';
}

function isDeeperThan(value: unknown, depth: number): boolean {
  let level: object[] = isObject(value) ? [value] : [];
  for (let at = 0; level.length > 0; at += 1) {
    if (at >= depth) return true;
    level = level.flatMap((one) => Object.values(one).filter(isObject));
  }
  return false;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
