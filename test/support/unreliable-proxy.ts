/**
 * Forwards connections between a client and a server, and breaks them at any byte.
 *
 * @module
 */
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import type { TestContext } from 'node:test';
import { atEnd } from './server.ts';

export interface UnreliableProxy {
  /** Stays, whoever the server is. */
  readonly url: string;
  readonly breakAll: () => void;
  /** Connections break once the server has said so many bytes more. */
  readonly limit: (bytes: number) => void;
  /** Connections break once the client has said so many bytes more. */
  readonly limitSent: (bytes: number) => void;
  /** How many connections there were. */
  readonly count: () => number;
}

/** @param server Asked for its address at each connection. */
export async function startUnreliableProxy(t: TestContext, server: { readonly url: string }): Promise<UnreliableProxy> {
  const sockets = new Set<Socket>();
  let allowed = Infinity;
  let allowedSent = Infinity;
  let count = 0;
  const proxy = createServer((front) => {
    const { hostname, port } = new URL(server.url);
    const back = connect({ host: hostname, port: Number(port) });
    let passed = 0;
    let sent = 0;
    count += 1;
    for (const [from, to] of [[front, back], [back, front]] as const) {
      sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        // What is on its way still arrives.
        to.destroySoon();
      });
    }
    front.on('data', (chunk: Buffer) => {
      sent += chunk.length;
      if (sent <= allowedSent) return void back.write(chunk);
      back.end(chunk.subarray(0, Math.max(0, chunk.length - (sent - allowedSent))));
      front.destroy();
    });
    back.on('data', (chunk: Buffer) => {
      passed += chunk.length;
      if (passed <= allowed) return void front.write(chunk);
      front.end(chunk.subarray(0, Math.max(0, chunk.length - (passed - allowed))));
      back.destroy();
    });
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const breakAll = (): void => { for (const socket of sockets) socket.destroy(); };
  atEnd(t, async () => {
    breakAll();
    await new Promise((resolve) => proxy.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, breakAll, count: () => count,
    limit: (bytes) => { allowed = bytes; },
    limitSent: (bytes) => { allowedSent = bytes; },
  };
}
