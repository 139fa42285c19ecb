/**
 * Reports the failures of several actions, each of which may fail by itself.
 * @module
 */
import { exitCodes, explain } from './failure.ts';
import { say } from './print.ts';

/** Prints each failure. @returns The exit code of the last one, 0 if there is no failure. */
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
