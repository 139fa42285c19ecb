/**
 * Ports of 127.0.0.1 that the system gives to nobody who asks for any port.
 *
 * @module
 */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Nothing listens there (tcpmux, RFC 1078). */
export const closedPort = 1;

/**
 * One that nothing listened on a moment ago, for what must know its port before it listens, and for a server whose
 * clients still ask for it after its end: another test that listens on any port does not get their requests (ip(7),
 * ip_local_port_range: from 32,768 on).
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_768);
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(() => true, () => false);
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}
