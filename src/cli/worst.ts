/**
 * Several things at once, each of which may fail by itself.
 * @module
 */
import { exitCodes, explain } from './failure.ts';
import { say } from './print.ts';

/** Says each failure; the exit code is that of the last. */
export function worst(results: readonly PromiseSettledResult<unknown>[]): number {
  let exitCode: number = exitCodes.ok;
  for (const result of results) {
    if (result.status === 'fulfilled') continue;
    const explanation = explain(result.reason);
    say(explanation.lines[0] ?? '');
    exitCode = explanation.exitCode;
  }
  return exitCode;
}
