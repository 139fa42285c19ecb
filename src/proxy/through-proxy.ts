/**
 * The functions for outgoing requests. All requests to other machines (updates, the command line, callbacks,
 * registrations) use them, so that the same proxy rules apply.
 * @module
 */
import type { Socket } from 'node:net';
import { type ProxyConnectOptions, connectThrough } from './connect.ts';
import { type Fetch, proxiedFetch } from './proxied-fetch.ts';
import type { ProxyRules } from './rules.ts';

export interface ThroughProxy {
  readonly fetch: Fetch;
  /**
   * The connection of a WebSocket, with TLS for `https:` and `wss:`; `undefined` when the address is reached directly.
   *
   * @throws ProxyError; the reason of the signal.
   */
  readonly connect: (url: URL, options?: Omit<ProxyConnectOptions, 'ca'>) => Promise<Socket | undefined>;
}

/** @param options.ca Certificates to trust instead of the usual ones: PEM. */
export function throughProxy(rules: ProxyRules, { ca }: Pick<ProxyConnectOptions, 'ca'> = {}): ThroughProxy {
  return {
    fetch: proxiedFetch(rules, { ca }),
    connect: async (url, options = {}) => {
      const proxy = rules(url);
      return proxy === undefined ? undefined : await connectThrough(proxy, url, { ...options, ca });
    },
  };
}
