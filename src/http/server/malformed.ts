/**
 * Answers data that is not a valid HTTP request.
 * @module
 */
import { STATUS_CODES } from 'node:http';
import { ProblemError } from '../../protocol/problem.ts';

/** Node's error for a connection that it cannot parse. */
export interface ClientError extends Error {
  readonly code?: string;
  /** The bytes being parsed, and how many of them were understood. */
  readonly rawPacket?: Buffer;
  readonly bytesParsed?: number;
  readonly reason?: string;
}

const methods = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

/** The request has not arrived within the limit of time. */
export function isTooSlow({ code }: ClientError): boolean {
  return code === 'ERR_HTTP_REQUEST_TIMEOUT';
}

/** @returns `undefined` where the connection itself failed, so that no answer can be sent. */
export function toProblem(error: ClientError): ProblemError | undefined {
  const { code = '' } = error;
  if (isTooSlow(error)) {
    return new ProblemError('request_timeout', 'Cannot read the request: it did not arrive in time');
  }
  if (code === 'HPE_HEADER_OVERFLOW') return explainOverflow(error);
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW') {
    return new ProblemError('payload_too_large', 'Cannot read body: its chunk extensions are too long');
  }
  if (code === 'HPE_INVALID_METHOD') return explainMethod(error);
  if (!code.startsWith('HPE_')) return undefined;
  return new ProblemError('invalid_request', `Cannot read the request: ${error.reason ?? error.message}`);
}

/** The whole answer, ready for the socket; it closes the connection. */
export function rawAnswer(problem: ProblemError, requestId: string): string {
  const text = JSON.stringify(problem);
  const headers = {
    'Content-Type': 'application/problem+json',
    ...problem.headers,
    'X-Request-Id': requestId,
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-store',
    'Date': new Date().toUTCString(),
    'Content-Length': Buffer.byteLength(text),
    'Connection': 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}\r\n${lines}\r\n${text}`;
}

export function connectNotAllowed(): ProblemError {
  return new ProblemError(
    'method_not_allowed', 'Cannot CONNECT: this server is not a proxy', { headers: { Allow: methods } },
  );
}

function explainOverflow({ rawPacket, bytesParsed = 0 }: ClientError): ProblemError {
  const read = rawPacket?.toString('latin1', 0, Math.max(bytesParsed, 64)) ?? '';
  if (/^[A-Z-]+ [^\n ]*$/.test(read))
    return new ProblemError('uri_too_long', 'Cannot read the request: its address is too long');
  return new ProblemError('headers_too_large', 'Cannot read the request: its headers are too large');
}

function explainMethod({ rawPacket, bytesParsed = 0 }: ClientError): ProblemError {
  if (rawPacket?.[0] === 0x16) {
    return new ProblemError('invalid_request', 'Cannot read the request: it is TLS, and this port speaks plain HTTP');
  }
  const packet = rawPacket?.toString('latin1') ?? '';
  const line = packet.slice(packet.lastIndexOf('\n', bytesParsed) + 1);
  if (/^[!#$%&'*+.^_`|~\w-]{1,64} \S+ HTTP\/1\.[01]\r?\n/.test(line)) {
    return new ProblemError(
      'method_not_allowed', 'Cannot answer: no path has this method', { headers: { Allow: methods } },
    );
  }
  return new ProblemError(
    'invalid_request', 'Cannot read the request: it does not begin with a method, a path and a version',
  );
}
