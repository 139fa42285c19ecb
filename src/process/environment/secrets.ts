/**
 * Removes from an environment what is for the server alone: its keys and tokens, and its credentials for registries and
 * proxies.
 * @module
 */
import { markName } from '../descendants.ts';

export type Environment = { readonly [name: string]: string | undefined };
export type Variables = { readonly [name: string]: string };

/**
 * Dropped entirely. npm itself passes on what its command line said: `_auth`, `otp`, the key of a client certificate
 * (npm-config(7)).
 */
const secretNames: readonly RegExp[] = [
  /^(SIDECAR|DEVPILOT|AGENT_RUNTIME)_.*(KEY|TOKEN|SECRET|PASSWORD)/i,
  // An address may hold a password, or a token in its query.
  /^SIDECAR_UPDATE_(SOURCE|REGISTRY)$/i,
  /^npm_config_(.*[_:])?(_?auth|_?authtoken|_?password|otp|key)$/i,
];

/**
 * Addresses that jobs need as well: only their credentials are removed. `http_proxy` and similar: curl(1), ENVIRONMENT.
 */
const addressNames: readonly RegExp[] = [
  /_proxy$/i,
  /^npm_config_(https?[_-])?proxy$/i,
  /^npm_config_(.*[_:])?registry$/i,
  /^SIDECAR_URL$/i,
];

/**
 * The environment without the keys and tokens of this product, under all its names, and without npm's credentials for
 * registries. Addresses of proxies and registries lose user and password; one that cannot be parsed is left out if it
 * may hold them.
 */
export function withoutSecrets(environment: Environment): Variables {
  const kept: { [name: string]: string } = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || name === markName || secretNames.some((pattern) => pattern.test(name))) continue;
    const plain = addressNames.some((pattern) => pattern.test(name)) ? withoutCredentials(value) : value;
    if (plain !== undefined) kept[name] = plain;
  }
  return kept;
}

/**
 * An address without the part before the `@` (RFC 3986 section 3.2.1). curl accepts proxies without a scheme, too.
 *
 * @returns `undefined` where the rest still has an `@` that may follow a password: one with a `/` that is not
 *   percent-encoded, or a list.
 */
export function withoutCredentials(address: string): string | undefined {
  if (!address.includes('@')) return address;
  const plain = address.trim().replace(/^([a-z][a-z0-9+.-]*:\/\/|\/\/)?[^/?#]*@/i, '$1');
  // npm has scopes after a slash: https://registry.example.org/@scope.
  return /[^/]@/.test(plain) ? undefined : plain;
}
