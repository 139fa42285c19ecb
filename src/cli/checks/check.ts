/**
 * What `sidecar doctor` looks at: one thing each, with what to do about it.
 * @module
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Config } from '../../config.ts';

export interface Finding {
  /** `warn`: it works, with less. `fail`: something that should work does not. */
  readonly state: 'ok' | 'warn' | 'fail';
  /** What is the case. */
  readonly text: string;
  /** What to do about it; never on `ok`. */
  readonly fix?: string;
}

export interface Check {
  readonly name: string;
  readonly look: (config: Config) => Finding | Promise<Finding>;
}

export function ok(text: string): Finding {
  return { state: 'ok', text };
}

export function warn(text: string, fix: string): Finding {
  return { state: 'warn', text, fix };
}

export function fail(text: string, fix: string): Finding {
  return { state: 'fail', text, fix };
}

const execute = promisify(execFile);

/** What a program prints, trimmed; `undefined` when it is not there, fails, or takes more than 5 s. */
export async function outputOf(program: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<string | undefined> {
  try {
    return (await execute(program, [...args], { timeout: 5000, env })).stdout.trim();
  } catch (error) {
    // A code is an errno (not there) or the exit code; killed: it took too long.
    if (!(error instanceof Error) || !('code' in error || 'killed' in error)) throw error;
    return undefined;
  }
}

export function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code ?? error);
}
