/**
 * HTTP Basic authentication from the user and the password of a URL.
 * @module
 */

/** `Basic` with the percent-decoded user and password (RFC 7617); `undefined` without both. */
export function basicAuthorization({ username, password }: Pick<URL, 'username' | 'password'>): string | undefined {
  if (username === '' && password === '') return undefined;
  return `Basic ${Buffer.from(`${percentDecode(username)}:${percentDecode(password)}`).toString('base64')}`;
}

/** Percent-decodes a value; one with a bare percent sign stays as it is. */
function percentDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
