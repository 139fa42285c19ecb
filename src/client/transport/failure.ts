/**
 * Failures as {@link ProblemError}: a problem that the server sent, an answer that is not a machine-sidecar's, or no
 * answer at all.
 * @module
 */
import type { JobId } from '../../protocol/ids.ts';
import { ProblemError, readProblem } from '../../protocol/problem.ts';
import type { Answer } from './transport.ts';

/** The longest error body that is read, in bytes. */
const maxProblemBytes = 64 * 1024;

/**
 * A signal ended the wait for a job, which keeps running. `name` is that of the signal's reason (`AbortError`,
 * `TimeoutError`), as with `fetch`; `cause` is the reason itself.
 */
export class JobWaitAbortedError extends Error {
  override readonly name: string;
  readonly jobId: JobId;

  constructor(jobId: JobId, reason: unknown) {
    const isError = reason instanceof Error;
    super(`${isError ? reason.message : String(reason)}; job ${jobId} runs on`, { cause: reason });
    this.name = isError ? reason.name : 'AbortError';
    this.jobId = jobId;
  }
}

/** Names the job in the error if `signal` ended the wait for it. */
export async function waitingFor<T>(jobId: JobId, signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw signal?.aborted === true && error === signal.reason ? new JobWaitAbortedError(jobId, error) : error;
  }
}

/** Reads the body of a failed answer. @param from The address for the message. */
export async function problemOf(response: Answer, from: string): Promise<ProblemError> {
  const { status } = response;
  const type = response.headers.get('content-type') ?? '';
  const retryAfter = response.headers.get('retry-after') ?? undefined;
  const isProblem = type.startsWith('application/problem+json');
  if (!isProblem) await response.body?.cancel();
  const problem = isProblem ? readProblem(await boundedText(response), { status, retryAfter }) : undefined;
  if (problem) return problem;
  const told = status === 0 || (status >= 300 && status < 400)
    ? 'a redirect'
    : `status ${status}, ${type || 'no type'}`;
  return new ProblemError('bad_answer',
    `Cannot read the answer of ${from}: expected one of a machine-sidecar, received ${told}`,
    { status, headers: retryAfter === undefined ? {} : { 'Retry-After': retryAfter } });
}

/** The answer is not that of a machine-sidecar. */
export function badAnswer(from: string, received: string, cause?: unknown): ProblemError {
  return new ProblemError('bad_answer', `Cannot read the answer of ${from}: ${received}`, { cause });
}

/** `fetch` failed: there is no server, or it does not speak HTTP. */
export function networkFailure(error: unknown, from: string): ProblemError {
  const { code, message, name } = root(error);
  // The proxy answered, not the server: another try would change nothing, and wrong passwords may lock its user out.
  if (code === 'ERR_PROXY_REFUSED') {
    return new ProblemError('bad_answer', `Cannot reach ${from}: ${message}`, { cause: error });
  }
  if (name === 'HTTPParserError') return badAnswer(from, 'it does not speak HTTP', error);
  return new ProblemError('unreachable', `Cannot reach ${from}: ${words[code ?? message] ?? message}`,
    { cause: error });
}

/** Whether nothing was sent: the request has had no effect. Unknown in browsers, which do not tell the cause. */
export function wasNeverSent(error: unknown): boolean {
  return notSent.has(root(error).code ?? '');
}

const notSent = new Set([
  'ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT',
  'ERR_PROXY_CONNECT',
]);

/** Explanations by code, or by message where there is no code. */
const words: { readonly [code: string]: string | undefined } = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection broke',
  UND_ERR_SOCKET: 'the connection broke',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  'bad port': 'fetch refuses to use that port',
  EHOSTUNREACH: 'there is no way to the host',
  ENETUNREACH: 'there is no way to the network',
  ETIMEDOUT: 'the connection timed out',
  UND_ERR_CONNECT_TIMEOUT: 'the connection timed out',
  UND_ERR_HEADERS_TIMEOUT: 'no answer in time',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS; is it http:// instead of https://?',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'its certificate is self-signed (NODE_EXTRA_CA_CERTS names a file of certificates to trust)',
  SELF_SIGNED_CERT_IN_CHAIN:
    'its certificate is self-signed (NODE_EXTRA_CA_CERTS names a file of certificates to trust)',
};

/** The innermost cause that says more than "fetch failed". */
function root(error: unknown): { code: string | undefined; message: string; name: string } {
  let current = error;
  let depth = 0;
  while (current instanceof Error && current.cause instanceof Error && depth < 5) {
    current = current.cause;
    depth += 1;
  }
  const code = typeof current === 'object' && current !== null && 'code' in current ? current.code : undefined;
  const message = current instanceof Error && current.message !== '' ? current.message : String(current);
  const name = current instanceof Error ? current.name : '';
  return { code: typeof code === 'string' ? code : undefined, message, name };
}

async function boundedText(response: Answer): Promise<string> {
  const reader = response.body?.getReader();
  if (!reader) return '';
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done === true) return text + decoder.decode();
    text += decoder.decode(value, { stream: true });
    if (text.length > maxProblemBytes) {
      await reader.cancel();
      return text;
    }
  }
}
