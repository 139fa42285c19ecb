/**
 * What kind of failure an error is.
 * @module
 */

/** The code of an error of the system or of Node (`ENOENT`, `ERR_…`); `''`: it has none. */
export function errorCode(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

/** The error with what errors of the system have beside a code: the call, its path, the number. Each may be absent. */
export function asSystemError(error: unknown): NodeJS.ErrnoException {
  return error as NodeJS.ErrnoException;
}
