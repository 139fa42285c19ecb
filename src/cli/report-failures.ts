/**
 * Reports the failures of several actions, each of which may fail by itself.
 * @module
 */
import { exitCodes, explain } from './failure.ts';
import { printJson, printMessage } from './io/print.ts';

/** Prints each failure. @returns The exit code of the last one, 0 if there is no failure. */
export function reportFailures(results: readonly PromiseSettledResult<unknown>[]): number {
  let exitCode: number = exitCodes.ok;
  for (const result of results) {
    if (result.status === 'fulfilled') continue;
    const explanation = explain(result.reason);
    printMessage(explanation.lines[0] ?? '');
    exitCode = explanation.exitCode;
  }
  return exitCode;
}

/**
 * Removes each item once, and prints those that are removed: as JSON, or a sentence each.
 *
 * @returns The exit code, see {@link reportFailures}.
 */
export async function removeEach<T extends string>(
  items: readonly T[],
  remove: (item: T) => Promise<unknown>,
  { isJson, sentence }: { readonly isJson: boolean; readonly sentence: (item: T) => string },
): Promise<number> {
  const unique = [...new Set(items)];
  const results = await Promise.allSettled(unique.map(remove));
  const removed = unique.filter((_, index) => results[index]?.status === 'fulfilled');
  if (isJson) await printJson(removed);
  else for (const item of removed) printMessage(sentence(item));
  return reportFailures(results);
}
