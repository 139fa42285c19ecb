/**
 * The checks of `sidecar doctor`: each looks at one thing and says what to do about it.
 * @module
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { errorCode } from '../../base/error-code.ts';
import type { Config } from '../../config/config.ts';

export interface Finding {
  /** `warn`: it works, but with limits. `fail`: something that should work does not. */
  readonly state: 'ok' | 'warn' | 'fail';
  /** What the check found. */
  readonly text: string;
  /** What to do about it; never on `ok`. */
  readonly fix?: string;
}

export interface Check {
  readonly name: string;
  readonly run: (config: Config) => Finding | Promise<Finding>;
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

/** The output of a program, trimmed; `undefined` when it is missing, fails, or takes more than 5 s. */
export async function outputOf(
  program: string, args: readonly string[], env?: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  try {
    return (await execute(program, [...args], { timeout: 5000, env })).stdout.trim();
  } catch (error) {
    // `code`: an errno (the program is missing) or the exit code; `killed`: it took too long.
    if (!(error instanceof Error) || !('code' in error || 'killed' in error)) throw error;
    return undefined;
  }
}

export function codeOf(error: unknown): string {
  return errorCode(error) || String(error);
}
