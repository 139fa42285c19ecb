/**
 * The cheapest HTTP/1.1 client that still reads replies correctly, so that the server is measured: requests are bytes
 * made beforehand, a connection has one request at a time, and only the status, the length and the first bytes of a
 * reply are read.
 *
 * The programs in this folder and the yardsticks are plain `.mjs`: a TypeScript loader in the process would add memory,
 * a thread and therefore (libuv forks the whole process) a slower `spawn()` to what should be a bare Node.
 * @module
 */
import { connect } from 'node:net';

const KEPT_BODY_BYTES = 4096;

/**
 * Milliseconds on CLOCK_MONOTONIC, which all processes of a machine share, so that times of different programs can be
 * compared.
 */
export function nowMs() {
  return Number(process.hrtime.bigint()) / 1e6;
}

/**
 * The bytes of a request.
 *
 * @param {{host: string, port: number}} address
 * @param {{method?: string, path: string, headers?: Record<string, string>, body?: string}} request
 * @returns {Buffer}
 */
export function requestBytes({ host, port }, { method = 'GET', path, headers = {}, body }) {
  const lines = [`${method} ${path} HTTP/1.1`, `Host: ${host}:${port}`];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  if (body !== undefined) {
    lines.push('Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`);
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body ?? ''}`);
}

/**
 * Opens a connection that is ready to `send`. A lost connection or an unreadable reply ends the program with a message.
 *
 * @typedef {{status: number, bodyBytes: number, body: string}} Reply `body`: the first bytes of it.
 * @typedef {{send(bytes: Buffer, onReply: (reply: Reply) => void): void, close(): void}} Connection
 * @param {{host: string, port: number}} address
 * @returns {Promise<Connection>}
 */
export function openConnection({ host, port }) {
  return new Promise((resolve, reject) => {
    let onReply;
    let unread = Buffer.alloc(0);
    /** @type {Reply | undefined} */
    let reply;
    let missingBytes = 0;

    const socket = connect({
      host,
      port,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(65_536),
        callback: (size, buffer) => {
          read(buffer.subarray(0, size));
          return true;
        },
      },
    });
    socket.once('connect', () =>
      resolve({
        send(bytes, listener) {
          onReply = listener;
          socket.write(bytes);
        },
        close() {
          onReply = undefined;
          socket.destroy();
        },
      }),
    );
    socket.on('error', reject);
    socket.on('close', () => {
      if (onReply !== undefined) fail('the server closed the connection before it answered');
    });

    function read(chunk) {
      if (reply === undefined) {
        const start = unread.length === 0 ? chunk : Buffer.concat([unread, chunk]);
        const end = start.indexOf('\r\n\r\n');
        if (end === -1) {
          unread = Buffer.from(start);
          return;
        }
        unread = Buffer.alloc(0);
        const head = start.latin1Slice(0, end);
        const length = /\r\ncontent-length: *(\d+)/i.exec(head);
        if (length === null) fail(`the reply has no Content-Length: ${head}`);
        const bodyBytes = Number(length[1]);
        const body = start.subarray(end + 4);
        reply = {
          status: Number(head.slice(9, 12)),
          bodyBytes,
          body: body.toString('latin1', 0, KEPT_BODY_BYTES),
        };
        missingBytes = bodyBytes - body.length;
      } else {
        missingBytes -= chunk.length;
        if (reply.body.length < KEPT_BODY_BYTES)
          reply.body += chunk.toString('latin1', 0, KEPT_BODY_BYTES - reply.body.length);
      }
      if (missingBytes > 0) return;
      const complete = reply;
      const listener = onReply;
      reply = undefined;
      onReply = undefined;
      listener?.(complete);
    }
  });
}

/** Ends the program with a message that `runProgram` shows. */
export function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/** Reads the program's task, and removes it from the environment of the processes that the program starts. */
export function readTask() {
  const text = process.env.BENCH_TASK ?? 'null';
  delete process.env.BENCH_TASK;
  return JSON.parse(text);
}

/** Prints the program's result and ends the program, even with open connections. */
export function finish(result) {
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

/**
 * The mean, the median, the 99th percentile and the maximum of the latencies of a run.
 *
 * @param {number[] | Float64Array} latenciesMs
 */
export function summarize(latenciesMs) {
  const sorted = Float64Array.from(latenciesMs).sort();
  const at = (share) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
  const sum = sorted.reduce((total, latency) => total + latency, 0);
  return { meanMs: sum / sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}
