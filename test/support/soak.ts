/**
 * Long tests: how often they repeat. `npm test` runs their short form, which finds the same faults less surely;
 * `npm run test:soak` runs the files that import this module, with all repetitions.
 *
 * @module
 */

export const isSoak: boolean = process.env['SIDECAR_TEST_SOAK'] === '1';

/** @returns what a run of all tests uses, or what the soak uses. */
export function soak<T>(short: T, long: T): T {
  return isSoak ? long : short;
}
