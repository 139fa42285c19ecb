/**
 * The messages of JSON-RPC 2.0 (https://www.jsonrpc.org/specification). Pure.
 * @module
 */
import { jsonText } from '../base/text/json.ts';

/** §4: the id of a request and of the response to it. Each side counts its own requests. */
export type RpcId = string | number | null;

export type RpcMessage =
  | { readonly type: 'request'; readonly id: RpcId; readonly method: string; readonly params: unknown }
  | { readonly type: 'notification'; readonly method: string; readonly params: unknown }
  | { readonly type: 'result'; readonly id: RpcId; readonly result: unknown }
  | { readonly type: 'error'; readonly id: RpcId; readonly error: RpcError }
  /** Not a valid message. `id`: that of the request that needs a response, where it is known, else `null`. */
  | { readonly type: 'invalid'; readonly id: RpcId; readonly why: string };

/** §5.1; the Language Server Protocol and the Agent Client Protocol define -32800. */
export const rpcCodes = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  cancelled: -32800,
} as const;

/** The error of a response, received or to be sent. `code` is any integer. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly code: number;
  readonly data: unknown;

  constructor(code: number, message: string, options: { readonly data?: unknown; readonly cause?: unknown } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.data = options.data;
  }
}

/**
 * Classifies a parsed message. A message with a method is a request or a notification, whatever other members it has:
 * its id may equal that of a pending request.
 *
 * `jsonrpc` is not required, and neither is a result, because some peers leave them out. An error that is `null` counts
 * as no error.
 */
export function readMessage(value: unknown): RpcMessage {
  if (typeof value !== 'object' || value === null) return invalid(null, 'it is not an object');
  if (Array.isArray(value)) return invalid(null, 'batches are not supported');
  const { id, method, params, result, error } = value as { readonly [field: string]: unknown };
  const hasId = 'id' in value;
  if (hasId && !isId(id)) return invalid(null, 'its id is no string, number or null');
  if (method !== undefined) {
    if (typeof method !== 'string') return invalid(hasId ? id as RpcId : null, 'its method is no string');
    return hasId ? { type: 'request', id: id as RpcId, method, params } : { type: 'notification', method, params };
  }
  if (!hasId) return invalid(null, 'it has neither a method nor an id');
  if (error === undefined || error === null) return { type: 'result', id: id as RpcId, result };
  return { type: 'error', id: id as RpcId, error: readError(error) };
}

export function writeRequest(id: RpcId, method: string, params: unknown): string {
  return JSON.stringify({ jsonrpc: '2.0', id, method, params });
}

export function writeNotification(method: string, params: unknown): string {
  return JSON.stringify({ jsonrpc: '2.0', method, params });
}

/** A response without a result carries `null`: §5 requires the member. */
export function writeResult(id: RpcId, result: unknown): string {
  return JSON.stringify({ jsonrpc: '2.0', id, result: result ?? null });
}

export function writeError(id: RpcId, { code, message, data }: RpcError): string {
  return JSON.stringify({ jsonrpc: '2.0', id, error: { code, message, data } });
}

function invalid(id: RpcId, why: string): RpcMessage {
  return { type: 'invalid', id, why };
}

function isId(id: unknown): id is RpcId {
  return id === null || typeof id === 'string' || typeof id === 'number';
}

/** Accepts an error of any shape, so that the caller that waits for the response always gets one. */
function readError(error: unknown): RpcError {
  if (typeof error !== 'object' || error === null) return new RpcError(rpcCodes.internalError, String(error));
  const { code, message, data } = error as { readonly [field: string]: unknown };
  return new RpcError(
    typeof code === 'number' && Number.isInteger(code) ? code : rpcCodes.internalError,
    typeof message === 'string' ? message : shownError(error),
    { data },
  );
}

/** Characters of JSON shown for an error without a message. */
const maxShownCharacters = 2000;

function shownError(error: object): string {
  const json = jsonText(error) ?? 'an error that cannot be shown';
  return json.length > maxShownCharacters ? `${json.slice(0, maxShownCharacters)}\u2026` : json;
}
