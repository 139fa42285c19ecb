/** Sends requests to a server or a yardstick, from a process of its own. @module */
import type { Bench } from './bench.ts';

/** The server that is asked. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly headers: Record<string, string>;
}

/** The requests and how many run at the same time. */
export interface Load {
  readonly method?: 'GET' | 'POST';
  /** The paths, requested in turn. */
  readonly paths: readonly string[];
  readonly body?: unknown;
  /** How many requests run at the same time, each on its own connection. */
  readonly connections?: number;
  /** How many requests are answered before the clock starts. */
  readonly warmup?: number;
  readonly count: number;
  /** The pause between an answer and the next request on its connection. */
  readonly pauseMs?: number;
  readonly status?: number;
  /** Text that the first bytes of every answer must contain. */
  readonly expect?: string;
}

/** The times measured. The two moments are of the machine's monotonic clock. */
export interface LoadResult {
  readonly startedMs: number;
  readonly endedMs: number;
  readonly seconds: number;
  /** The size of the last answer's body. */
  readonly bodyBytes: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Sends the requests and waits for all answers. */
export function runLoad(
  bench: Bench,
  { host, port, headers }: Address,
  load: Load,
): Promise<LoadResult> {
  return bench.runProgram('./programs/load.mjs', {
    method: 'GET',
    connections: 1,
    warmup: 0,
    pauseMs: 0,
    status: 200,
    ...load,
    ...(load.body !== undefined && { body: JSON.stringify(load.body) }),
    host,
    port,
    headers,
  });
}

/** The request that runs `true` and answers when it is done. */
export const runTrue = {
  method: 'POST',
  paths: ['/exec?wait=60'],
  body: { mode: 'shell', command: 'true' },
  expect: '"status":"completed"',
} as const;
