/**
 * What kind of failure an error is.
 * @module
 */

/** The code of an error of the system or of Node (`ENOENT`, `ERR_…`); `''`: it has none. */
export function errorCode(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : '';
}
