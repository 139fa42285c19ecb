/**
 * The opening handshake (RFC 6455 §4), for client and server. Knows no socket.
 * @module
 */
import { createHash, randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { ParseError, refuse } from '../base/parse.ts';
import { ProblemError } from '../protocol/problem.ts';

/** RFC 6455 §1.3. */
const magic = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** 16 bytes in base64 (RFC 4648 §4). */
const keyPattern = /^[A-Za-z0-9+/]{21}[AQgw]==$/;
/** RFC 9110 §5.6.2. */
const token = /^[!#$%&'*+.^_`|~\w-]+$/;
const version = '13';

/** The result of a handshake. */
export interface HandshakeResult {
  /** The client's `Sec-WebSocket-Key`. */
  readonly key: string;
  /** The subprotocol; `''` if no subprotocol was agreed on. */
  readonly protocol: string;
}

/** Whether the client asks to upgrade to a WebSocket (RFC 9110 §7.8: a list of names, in any case). */
export function wantsWebSocket(headers: IncomingHttpHeaders): boolean {
  return hasToken(headers.upgrade, 'websocket') && hasToken(headers.connection, 'upgrade');
}

/** The error for a request to a WebSocket endpoint that is not a handshake. */
export function upgradeRequired(path: string): ProblemError {
  return new ProblemError(
    'upgrade_required',
    `Cannot GET ${path}: a WebSocket is spoken here, and the request does not ask for one`,
    { headers: { 'Upgrade': 'websocket', 'Connection': 'Upgrade', 'Sec-WebSocket-Version': version } },
  );
}

/**
 * Reads a client's handshake (RFC 6455 §4.2.1). Extensions are declined: the answer does not mention them.
 *
 * @param protocols The subprotocols that this side speaks, the preferred one first.
 * @throws ProblemError `upgrade_required` for another version.
 */
export function readHandshake(headers: IncomingHttpHeaders, protocols: readonly string[] = []): HandshakeResult {
  const asked = headers['sec-websocket-version'];
  if (asked !== version) {
    throw new ProblemError(
      'upgrade_required',
      `Cannot open a WebSocket: expected Sec-WebSocket-Version ${version}, received ${
        JSON.stringify(asked?.slice(0, 100) ?? null)}`,
      { headers: { 'Upgrade': 'websocket', 'Connection': 'Upgrade', 'Sec-WebSocket-Version': version } },
    );
  }
  const key = headers['sec-websocket-key'];
  if (key === undefined || !keyPattern.test(key)) refuse('header Sec-WebSocket-Key', '16 bytes in base64', key);
  const offered = readProtocols(headers['sec-websocket-protocol']);
  return { key, protocol: protocols.find((protocol) => offered.includes(protocol)) ?? '' };
}

/** The headers of the answer that accepts the handshake: names and values alternate. */
export function acceptHeaders({ key, protocol }: HandshakeResult): string[] {
  return [
    'Upgrade', 'websocket', 'Connection', 'Upgrade', 'Sec-WebSocket-Accept', acceptValue(key),
    ...(protocol === '' ? [] : ['Sec-WebSocket-Protocol', protocol]),
  ];
}

/**
 * The headers of a client's handshake, and the key in them.
 * @throws RangeError for an invalid or repeated subprotocol.
 */
export function clientHandshake(
  protocols: readonly string[],
): { readonly key: string; readonly headers: { readonly [name: string]: string } } {
  if (protocols.some((protocol) => !token.test(protocol)) || new Set(protocols).size < protocols.length) {
    throw new RangeError(
      `Cannot open a WebSocket: expected names of subprotocols, each once, received ${JSON.stringify(protocols)}`,
    );
  }
  const key = randomBytes(16).toString('base64');
  return {
    key,
    headers: {
      'Upgrade': 'websocket',
      'Connection': 'Upgrade',
      'Sec-WebSocket-Version': version,
      'Sec-WebSocket-Key': key,
      ...(protocols.length === 0 ? {} : { 'Sec-WebSocket-Protocol': protocols.join(', ') }),
    },
  };
}

/**
 * Checks a server's answer with status 101 (RFC 6455 §4.1).
 *
 * @returns the subprotocol; `''` if no subprotocol was agreed on.
 * @throws ParseError naming the header.
 */
export function checkAnswer(headers: IncomingHttpHeaders, key: string, protocols: readonly string[]): string {
  if (headers.upgrade?.toLowerCase() !== 'websocket') refuse('header Upgrade', 'websocket', headers.upgrade);
  if (!hasToken(headers.connection, 'upgrade')) refuse('header Connection', 'Upgrade', headers.connection);
  const accept = headers['sec-websocket-accept'];
  if (accept?.trim() !== acceptValue(key)) refuse('header Sec-WebSocket-Accept', 'the answer to our key', accept);
  const extensions = headers['sec-websocket-extensions'];
  if (extensions !== undefined && extensions !== '') {
    refuse('header Sec-WebSocket-Extensions', 'none, as none was offered', extensions);
  }
  const protocol = headers['sec-websocket-protocol'];
  if (protocol !== undefined && !protocols.includes(protocol)) {
    refuse('header Sec-WebSocket-Protocol', 'one of those offered', protocol);
  }
  return protocol ?? '';
}

function acceptValue(key: string): string {
  return createHash('sha1').update(key + magic).digest('base64');
}

function hasToken(list: string | undefined, wanted: string): boolean {
  return list?.split(',').some((name) => name.trim().toLowerCase() === wanted) ?? false;
}

/** Reads a list of subprotocols. RFC 6455 §4.1: tokens, each once. */
function readProtocols(list: string | undefined): readonly string[] {
  if (list === undefined) return [];
  const names = list.split(',').map((name) => name.trim());
  if (names.some((name) => !token.test(name)) || new Set(names).size < names.length) {
    throw new ParseError('header Sec-WebSocket-Protocol', 'expected names, each once');
  }
  return names;
}
