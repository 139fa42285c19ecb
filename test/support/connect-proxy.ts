/**
 * A proxy of node:http that takes every target for one on this machine: no test reaches the network.
 *
 * @module
 */
import { once } from 'node:events';
import { type Server, createServer, request } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import { certificate } from './certificate.ts';
import { atEnd } from './server.ts';

export interface ConnectProxyOptions {
  readonly host?: string;
  readonly isTls?: boolean;
  /** `user:password`. */
  readonly credentials?: string;
  /** Answered to every request. */
  readonly status?: number;
}

/** @param targetPort Where everything goes. @returns its port, and what it was asked for. */
export async function startConnectProxy(
  t: TestContext, targetPort: number, options: ConnectProxyOptions = {},
): Promise<{ readonly port: number; readonly asked: string[] }> {
  const { host = '127.0.0.1', isTls = false, credentials, status } = options;
  const asked: string[] = [];
  const sockets = new Set<Duplex>();
  const expected = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`;
  const refusalOf = (given: string | undefined): number | undefined =>
    (expected !== undefined && given !== expected ? 407 : status);
  const challenge = 'Basic realm="x"';
  const server: Server = isTls ? createTlsServer({ ...certificate }) : createServer();
  server.on('connection', (socket: Duplex) => sockets.add(socket));
  server.on('request', (incoming, response) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    const refused = refusalOf(incoming.headers['proxy-authorization']);
    if (refused !== undefined) return void response.writeHead(refused, { 'Proxy-Authenticate': challenge }).end();
    const { pathname, search } = new URL(incoming.url ?? '');
    const { method, headers } = incoming;
    const onward = request({ port: targetPort, path: pathname + search, method, headers });
    onward.on('response', (answer) => answer.pipe(response.writeHead(answer.statusCode ?? 0, answer.headers)));
    incoming.pipe(onward);
  });
  server.on('connect', (incoming, socket: Duplex) => {
    asked.push(`CONNECT ${incoming.url}`);
    socket.on('error', () => undefined);
    const refused = refusalOf(incoming.headers['proxy-authorization']);
    const refusal = `HTTP/1.1 ${refused} No\r\nProxy-Authenticate: ${challenge}\r\n\r\n`;
    if (refused !== undefined) return void socket.end(refusal);
    const onward = connect(targetPort, '127.0.0.1', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
    sockets.add(onward);
    onward.on('error', () => socket.destroy());
    socket.on('close', () => onward.destroy());
    onward.pipe(socket).pipe(onward);
  });
  server.listen(0, host);
  await once(server, 'listening');
  atEnd(t, () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, asked };
}
