/**
 * Assertions on errors: `await rejectsWith(promise, { code: 'not_found', message: /no job/ })`. Each field that is
 * named must be in the error: a regular expression fits its text, anything else equals it.
 *
 * @module
 */
import assert from 'node:assert/strict';

export interface ExpectedError<E extends Error> {
  readonly type?: abstract new (...args: never[]) => E;
  readonly code?: string | number;
  readonly reason?: string;
  readonly message?: RegExp | string;
  readonly details?: unknown;
}

/**
 * Asserts that a promise, or that of a function, rejects with such an error.
 *
 * @param what Names the case, where several are tried.
 * @returns the error.
 */
export async function rejectsWith<E extends Error = Error>(
  work: Promise<unknown> | (() => Promise<unknown>), expected: ExpectedError<E>, what?: string,
): Promise<E> {
  const outcome = await (typeof work === 'function' ? work() : work).then(() => ({}), (error: unknown) => ({ error }));
  return check('rejects', outcome, expected, what);
}

/** Asserts that a function throws such an error. @returns the error. */
export function throwsWith<E extends Error = Error>(act: () => unknown, expected: ExpectedError<E>, what?: string): E {
  let outcome: { readonly error?: unknown } = {};
  try {
    act();
  } catch (error) {
    outcome = { error };
  }
  return check('throws', outcome, expected, what);
}

function check<E extends Error>(
  verb: string, outcome: { readonly error?: unknown }, { type, ...fields }: ExpectedError<E>, what = '',
): E {
  const prefix = what === '' ? '' : `${what}: `;
  assert.ok('error' in outcome, `${prefix}it ${verb} nothing`);
  const { error } = outcome;
  const isRight = type === undefined ? error instanceof Error : error instanceof type;
  assert.ok(isRight, `${prefix}it ${verb} ${String(error)}, no ${type?.name ?? 'Error'}`);
  for (const [name, expected] of Object.entries(fields)) {
    const actual = (error as E & { readonly [name: string]: unknown })[name];
    if (expected instanceof RegExp) assert.match(String(actual), expected, `${prefix}${name}: ${String(actual)}`);
    else assert.deepEqual(actual, expected, `${prefix}${name} of ${String(error)}`);
  }
  return error as E;
}
