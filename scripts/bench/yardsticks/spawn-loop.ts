/** Yardstick: `child_process.spawn` with nothing around it, in a bare Node process. @module */
import type { Bench } from '../bench.ts';

/** What is spawned. */
export interface SpawnLoop {
  readonly command: string;
  readonly args: readonly string[];
  readonly concurrency?: number;
  readonly warmup?: number;
  readonly count?: number;
  /**
   * `pipe` is what `spawn` does unless told otherwise, and what it takes to see any output;
   * `ignore` is its cheapest. Default: `pipe`.
   */
  readonly stdio?: 'pipe' | 'ignore';
  /** Besides the variables of the bench. */
  readonly env?: Record<string, string>;
}

/** Runs the loop. `cpuMs` is what the looping process itself used. */
export function runSpawnLoop(
  bench: Bench,
  loop: SpawnLoop,
): Promise<{ seconds: number; cpuMs: number }> {
  return bench.runProgram('./yardsticks/spawn-loop.mjs', {
    concurrency: 1,
    warmup: 0,
    count: 1,
    stdio: 'pipe',
    env: {},
    ...loop,
  });
}
