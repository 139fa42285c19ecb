/**
 * Raw sockets to a server: what arrives there is exactly what a test writes.
 *
 * @module
 */
import { connect } from 'node:net';
import type { Problem } from '../../src/protocol/problem.ts';
import type { Reached } from './client.ts';

export interface RawAnswer {
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
  readonly text: string;
  /** Absent where the body is none. */
  readonly problem?: Problem;
}

export interface RequestParts {
  /** Lines, without those that every request has; one of these replaces them. */
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
}

/** A whole request, the last one of its connection, with host, key and length. */
export function requestBytes(server: Reached, line: string, { headers = [], body = '' }: RequestParts = {}): Buffer {
  const bytes = Buffer.from(body as string);
  const names = new Set(headers.map((header) => header.split(':')[0]?.toLowerCase()));
  const own = ['Host: localhost', `X-API-Key: ${server.key}`, 'Connection: close', ...(bytes.length > 0 ? [`Content-Length: ${bytes.length}`] : [])];
  const lines = [`${line} HTTP/1.1`, ...own.filter((header) => !names.has(header.split(':')[0]?.toLowerCase())), ...headers];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), bytes]);
}

/**
 * Sends bytes, reads until the server closes the connection, and takes what came apart.
 *
 * @param pieces What is sent; before each further piece comes what `between` does.
 */
export async function talk(server: Reached, pieces: Buffer | readonly Buffer[], between?: () => Promise<void>): Promise<RawAnswer[]> {
  const { hostname, port } = new URL(server.url);
  const socket = connect({ host: hostname, port: Number(port) });
  const received: Buffer[] = [];
  socket.on('data', (chunk) => received.push(chunk));
  // A reset says the same as an end: what came before it is what counts.
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => { socket.once('close', () => resolve()); });
  for (const [index, piece] of [pieces].flat().entries()) {
    if (index > 0) await between?.();
    socket.write(piece);
  }
  await closed;
  return answersIn(Buffer.concat(received).toString('latin1'));
}

/** Answers with Content-Length, one behind the other. */
export function answersIn(text: string): RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let rest = text; rest !== '';) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) throw new Error(`This is no answer: ${rest.slice(0, 200)}`);
    const [line = '', ...lines] = rest.slice(0, end).split('\r\n');
    const headers = Object.fromEntries(lines.map((header) => {
      const colon = header.indexOf(':');
      return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()];
    }));
    const length = Number(headers['content-length'] ?? 0);
    const body = Buffer.from(rest.slice(end + 4, end + 4 + length), 'latin1').toString();
    const isProblem = headers['content-type'] === 'application/problem+json' && body !== '';
    answers.push({ status: Number(line.split(' ')[1]), headers, text: body, ...(isProblem ? { problem: JSON.parse(body) as Problem } : {}) });
    rest = rest.slice(end + 4 + length);
  }
  return answers;
}
