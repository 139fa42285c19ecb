/**
 * Explains failures to a person at a terminal: what went wrong, what to do, and the exit code.
 * @module
 */
import { asSystemError } from '../base/error-code.ts';
import { ProxyError } from '../proxy/proxy-error.ts';
import { ParseError } from '../base/parse.ts';
import { ProblemError } from '../protocol/problem.ts';

/** The command line is wrong: exit code 2, with a hint at the help. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  /** The command whose help to read. Absent: the help of the running command, or of the program if no command runs. */
  readonly command: string | undefined;

  constructor(message: string, command?: string) {
    super(message);
    this.command = command;
  }
}

/** The command cannot do what it was asked for; `hint` says what to do. */
export class CommandError extends Error {
  override readonly name: string = 'CommandError';
  readonly hint: string | undefined;
  readonly exitCode: number;

  constructor(message: string, options: { hint?: string; exitCode?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? exitCodes.failure;
  }
}

/** `unreachable` is EX_UNAVAILABLE and `refused` EX_NOPERM of sysexits(3); `timeout` is the exit code of timeout(1). */
export const exitCodes = { ok: 0, failure: 1, usage: 2, unreachable: 69, refused: 77, timeout: 124 } as const;

export interface Explanation {
  /** One or two lines, without the name of the program. */
  readonly lines: readonly string[];
  readonly exitCode: number;
}

/** @param command The command that ran, for a `UsageError` that names no command. */
export function explain(error: unknown, command?: string): Explanation {
  if (error instanceof UsageError) {
    const name = error.command ?? command;
    const about = name === undefined ? '' : `${name} `;
    return { lines: [error.message, `See: sidecar ${about}--help`], exitCode: exitCodes.usage };
  }
  if (error instanceof ParseError) return { lines: [error.message], exitCode: exitCodes.usage };
  if (error instanceof CommandError) {
    return { lines: [error.message, ...(error.hint ? [error.hint] : [])], exitCode: error.exitCode };
  }
  if (error instanceof ProblemError) {
    const hint = hintFor(error);
    return { lines: [error.message, ...(hint ? [hint] : [])], exitCode: exitCodeOf(error) };
  }
  if (isDirectoryDeleted(error)) {
    return {
      lines: ['The current directory has been deleted', 'Change to another one, or give absolute paths'],
      exitCode: exitCodes.usage,
    };
  }
  return { lines: [error instanceof Error ? error.message : String(error)], exitCode: exitCodes.failure };
}

/** Runs an action that follows work on a server. @throws CommandError with `hint` when it stays unreachable. */
export async function withUnreachableHint<T>(hint: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof ProblemError) || error.code !== 'unreachable') throw error;
    throw new CommandError(error.message, { hint, exitCode: exitCodes.unreachable, cause: error });
  }
}

/** Node throws this error wherever it resolves a relative path, because getcwd(3) fails. */
export function isDirectoryDeleted(error: unknown): boolean {
  return error instanceof Error && asSystemError(error).syscall === 'uv_cwd';
}

function exitCodeOf(error: ProblemError): number {
  if (error.code === 'unreachable') return exitCodes.unreachable;
  const isRefused = error.status === 401 || (error.status === 403 && error.code !== 'path_not_allowed');
  return isRefused ? exitCodes.refused : exitCodes.failure;
}

/** Whether the proxy failed; `fetch` wraps that error. */
function isProxyFailure(cause: unknown): boolean {
  return cause instanceof ProxyError || (cause instanceof TypeError && cause.cause instanceof ProxyError);
}

function hintFor(error: ProblemError): string | undefined {
  // The message of a `ProxyError` says what to do.
  if (isProxyFailure(error.cause)) return undefined;
  switch (error.code) {
    case 'unreachable':
      if (error.message.includes('certificate')) return undefined;
      return 'Start a server with "sidecar serve", or name one with --url or SIDECAR_URL';
    case 'unauthorized':
      return 'Give its key with --key-file or SIDECAR_API_KEY; "sidecar key show" on its machine prints it';
    case 'host_not_allowed': return 'Start the server with --allow-host and the name that you use for it';
    case 'bad_answer': return 'Is that the address of a machine-sidecar?';
    case 'job_not_found': return 'See: sidecar jobs';
    case 'not_an_agent': return 'Jobs of agents are those of: sidecar prompt';
    case 'permission_not_found':
    case 'elicitation_not_found': return 'See: sidecar permissions';
    case 'session_not_found': return 'See: sidecar sessions';
    case 'terminal_not_found': return 'See: sidecar terminals';
    default: return undefined;
  }
}
