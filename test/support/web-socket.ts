/**
 * A WebSocket without its handshake, and a peer for it that sends what it is told to, byte by byte if need be.
 *
 * @module
 */
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import type { TestContext } from 'node:test';
import { type WebSocketClose, WebSocketConnection, type WebSocketOptions } from '../../src/websocket/connection.ts';
import { until } from './wait.ts';

export interface FrameParts {
  readonly opcode: number;
  readonly payload?: string | Buffer;
  readonly isFinal?: boolean;
  /** The three reserved bits. */
  readonly reserved?: number;
  readonly isMasked?: boolean;
  /** How the length is written; default: in the fewest bytes. */
  readonly lengthBytes?: 0 | 2 | 8;
  /** What is written as the length; default: the right one. */
  readonly length?: bigint;
}

/** Any frame, right or wrong. Masked, as those of a client are, unless it says otherwise. */
export function frame(parts: FrameParts): Buffer {
  const { opcode, isFinal = true, reserved = 0, isMasked = true } = parts;
  const payload = Buffer.from(parts.payload ?? '');
  const length = parts.length ?? BigInt(payload.length);
  const lengthBytes = parts.lengthBytes ?? (length < 126 ? 0 : length < 65_536 ? 2 : 8);
  const head = Buffer.alloc(2 + lengthBytes);
  head[0] = (isFinal ? 0x80 : 0) | (reserved << 4) | opcode;
  head[1] = (isMasked ? 0x80 : 0) | (lengthBytes === 0 ? Number(length) : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) head.writeUInt16BE(Number(length), 2);
  if (lengthBytes === 8) head.writeBigUInt64BE(length, 2);
  if (!isMasked) return Buffer.concat([head, payload]);
  const key = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);
  return Buffer.concat([head, key, payload.map((byte, index) => byte ^ (key[index % 4] ?? 0))]);
}

export function closeFrame(code?: number, reason: string | Buffer = '', isMasked = true): Buffer {
  const number = Buffer.alloc(code === undefined ? 0 : 2);
  if (code !== undefined) number.writeUInt16BE(code);
  return frame({ opcode: 8, payload: Buffer.concat([number, Buffer.from(reason)]), isMasked });
}

export interface Received {
  readonly opcode: number;
  readonly isFinal: boolean;
  readonly isMasked: boolean;
  readonly payload: Buffer;
}

/** The frames at the beginning of `bytes`; what is left is not one in full. */
export function readFrames(bytes: Buffer): Received[] {
  const frames: Received[] = [];
  for (let at = 0; at + 2 <= bytes.length;) {
    const first = bytes[at] ?? 0;
    const second = bytes[at + 1] ?? 0;
    const isMasked = (second & 0x80) !== 0;
    const short = second & 0x7f;
    const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
    const begin = at + 2 + lengthBytes + (isMasked ? 4 : 0);
    if (begin > bytes.length) break;
    const length = lengthBytes === 0 ? short : lengthBytes === 2 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
    if (begin + length > bytes.length) break;
    const key = bytes.subarray(begin - 4, begin);
    const payload = bytes.subarray(begin, begin + length);
    frames.push({
      opcode: first & 0x0f, isFinal: (first & 0x80) !== 0, isMasked,
      payload: isMasked ? payload.map((byte, index) => byte ^ (key[index % 4] ?? 0)) as Buffer : payload,
    });
    at = begin + length;
  }
  return frames;
}

export interface Pair {
  readonly connection: WebSocketConnection;
  /** What the connection has told of: messages, then the end. */
  readonly messages: (string | Buffer)[];
  readonly closed: WebSocketClose[];
  readonly peer: Peer;
}

export interface Peer {
  readonly socket: Socket;
  readonly bytes: () => Buffer;
  readonly frames: () => Received[];
  /** The connection has been ended from the other side. */
  readonly isEnded: () => boolean;
  readonly send: (...frames: Buffer[]) => void;
  /** One byte a write, each its own packet. */
  readonly drip: (...frames: Buffer[]) => Promise<void>;
}

/** Listens once for many pairs. */
export async function pairs(t: TestContext, options: Partial<WebSocketOptions> = {}): Promise<() => Promise<Pair>> {
  const accepted: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => { accepted.push(socket); });
  const sockets: Socket[] = [];
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
  await once(server, 'listening');
  t.after(async () => {
    for (const socket of [...sockets, ...accepted]) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  const { port } = server.address() as AddressInfo;
  let turn = Promise.resolve();
  return async () => {
    const before = turn;
    let done = (): void => undefined;
    turn = new Promise((resolve) => { done = resolve; });
    await before;
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.setNoDelay(true);
    const peer = watch(socket);
    await once(socket, 'connect');
    // A client of another test may still ask for a server that had this port before.
    const isOurs = ({ remotePort }: Socket): boolean => remotePort === socket.localPort;
    const ours = await until(() => accepted.find(isOurs), { what: 'the connection was accepted' });
    accepted.splice(accepted.indexOf(ours), 1);
    done();
    sockets.push(socket, ours);
    const connection = new WebSocketConnection(ours, { role: 'server', ...options });
    const messages: (string | Buffer)[] = [];
    const closed: WebSocketClose[] = [];
    connection.onMessage = (data) => { messages.push(data); };
    connection.onClose = (how) => { closed.push(how); };
    return { connection, messages, closed, peer };
  };
}

export async function pair(t: TestContext, options: Partial<WebSocketOptions> = {}): Promise<Pair> {
  return (await pairs(t, options))();
}

function watch(socket: Socket): Peer {
  const chunks: Buffer[] = [];
  let isEnded = false;
  socket.on('data', (chunk) => { chunks.push(chunk); });
  socket.on('end', () => { isEnded = true; });
  socket.on('close', () => { isEnded = true; });
  socket.on('error', () => undefined);
  const bytes = (): Buffer => Buffer.concat(chunks);
  return {
    socket, bytes,
    frames: () => readFrames(bytes()),
    isEnded: () => isEnded,
    send: (...frames) => { socket.write(Buffer.concat(frames)); },
    async drip(...frames) {
      for (const byte of Buffer.concat(frames)) {
        if (isEnded) return;
        await new Promise<void>((resolve) => { socket.write(Buffer.from([byte]), () => resolve()); });
        await new Promise<void>((resolve) => { setImmediate(resolve); });
      }
    },
  };
}

/** The code of the Close frame that the peer got; 1005 where it had none. */
export function closeCodeOf(peer: Peer): number | undefined {
  const close = peer.frames().find(({ opcode }) => opcode === 8);
  return close && (close.payload.length === 0 ? 1005 : close.payload.readUInt16BE());
}
