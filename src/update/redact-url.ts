/**
 * Makes URLs fit for logs and messages.
 * @module
 */

/**
 * A URL fit for logs: without user, password, query and fragment, all of which may be secrets. For a scheme without a
 * host, such as `data:`, only the scheme. Not `URL.origin`, which is the text "null" for every scheme but those of the
 * web (WHATWG URL §4.7).
 */
export function redactUrl(url: URL): string {
  const { protocol, host, pathname, search } = url;
  if (!url.href.startsWith(`${protocol}//`)) return `${protocol}…`;
  return `${protocol}//${host}${pathname}${search === '' ? '' : '?…'}`;
}
