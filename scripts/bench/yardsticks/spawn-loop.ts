/** Yardstick: a bare loop of `child_process.spawn` in a bare Node process. @module */
import type { Bench } from '../bench.ts';

/** The command, and how often it is spawned. */
export interface SpawnLoop {
  readonly command: string;
  readonly args: readonly string[];
  readonly concurrency?: number;
  readonly warmup?: number;
  readonly count?: number;
  /**
   * `pipe` is the default of `spawn`, and needed to read any output; `ignore` is the cheapest. Default: `pipe`.
   */
  readonly stdio?: 'pipe' | 'ignore';
  /** Variables added to those of the bench. */
  readonly env?: Record<string, string>;
}

/** Runs the loop. `cpuMs` is the CPU time of the looping process itself. */
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
