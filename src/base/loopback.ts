/**
 * Addresses of this machine.
 * @module
 */

/** Whether a host, written as in a URL and in lower case, names this machine: what is sent to it does not leave it. */
export function isLoopbackName(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
