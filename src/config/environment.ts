/**
 * The environment of this program. The only reader of `process.env`.
 * @module
 */
import { type Environment, withoutSecrets } from '../process/environment/secrets.ts';
import { type ProxyRules, proxyRules } from '../proxy/rules.ts';

/** The environment as it is, with its secrets. */
export function processEnvironment(): Environment {
  return process.env;
}

/** The proxies that the environment of this program names. */
export function ownProxies(): ProxyRules {
  return proxyRules(process.env);
}

/** The environment of this program without what {@link withoutSecrets} removes. */
export function ownEnvironment(): { readonly [name: string]: string } {
  return withoutSecrets(process.env);
}

/** https://no-color.org and https://force-color.org: set and not empty. */
export function isColour(environment: Environment, stream: { readonly isTTY?: boolean }): boolean {
  if (environment['NO_COLOR']) return false;
  if (environment['FORCE_COLOR']) return environment['FORCE_COLOR'] !== '0';
  return stream.isTTY === true && environment['TERM'] !== 'dumb';
}
