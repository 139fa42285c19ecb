/**
 * A report of the proxies in use, without users and passwords.
 * @module
 */
import { basicAuthorization } from '../base/basic-authorization.ts';
import { portOf } from './bypass-list.ts';
import { ProxyError } from './proxy-error.ts';
import { type ProxySetting, type ProxySettings, parseProxy } from './rules.ts';

export interface ProxyReport {
  readonly name: 'https-proxy' | 'http-proxy' | 'no-proxy';
  /** An address such as `http://********@proxy.example:3128`, or the exceptions as given; absent: not set. */
  readonly value?: string;
  /** The variable or setting that it is from; absent: not set. */
  readonly variable?: string;
  /** The address has a user or a password. */
  readonly hasCredentials?: boolean;
  /** Why it cannot be used. */
  readonly problem?: string;
}

export function reportProxies({ https, http, exceptions }: ProxySettings): readonly ProxyReport[] {
  return [
    reportProxy('https-proxy', https),
    reportProxy('http-proxy', http),
    exceptions === undefined
      ? { name: 'no-proxy' }
      : { name: 'no-proxy', value: exceptions.text, variable: exceptions.variable },
  ];
}

function reportProxy(name: ProxyReport['name'], setting: ProxySetting | undefined): ProxyReport {
  if (setting === undefined) return { name };
  const { variable } = setting;
  try {
    const { url } = parseProxy(setting);
    const hasCredentials = basicAuthorization(url) !== undefined;
    const hidden = hasCredentials ? '********@' : '';
    return { name, variable, value: `${url.protocol}//${hidden}${url.hostname}:${portOf(url)}`, hasCredentials };
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    return { name, variable, problem: error.message };
  }
}
