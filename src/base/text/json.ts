/**
 * Writes outside values as JSON, at any depth.
 * @module
 */

/** No real data is nested deeper; JSON.stringify of Node 24 and earlier overflows its stack at thousands of levels. */
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
