/**
 * A proxy that keeps a request of a client back until a test lets it pass.
 *
 * @module
 */
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { type InProcessServer, atEnd } from './server.ts';

export interface HoldingProxy {
  readonly url: string;
  readonly key: string;
  /** Resolves once it holds a request. */
  readonly holds: Promise<void>;
  /** Holds nothing from now on. */
  readonly passOn: () => void;
}

/** A proxy in front of the server that holds each POST whose path matches. */
export async function startHoldingProxy(t: TestContext, server: InProcessServer, path: RegExp): Promise<HoldingProxy> {
  let passOn: () => void = () => undefined;
  const isPassing = new Promise<void>((resolve) => { passOn = resolve; });
  let tellHeld: () => void = () => undefined;
  const holds = new Promise<void>((resolve) => { tellHeld = resolve; });
  const proxy = createServer((incoming, outgoing) => {
    const { method = '', url = '', headers } = incoming;
    const pass = async (): Promise<void> => {
      if (method === 'POST' && path.test(url)) {
        tellHeld();
        await isPassing;
      }
      const onward = request(new URL(url, server.url), { method, headers }, (got) => {
        outgoing.writeHead(got.statusCode ?? 500, got.headers);
        got.pipe(outgoing);
      });
      onward.on('error', () => outgoing.destroy());
      incoming.pipe(onward);
    };
    void pass();
  }).listen(0, '127.0.0.1');
  atEnd(t, () => { proxy.closeAllConnections(); proxy.close(); });
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, key: server.key, holds, passOn };
}
