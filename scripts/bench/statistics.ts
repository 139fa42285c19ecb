/** Turns the samples of several runs into a row. @module */
import type { Row, Target } from './bench.ts';

/** The middle sample, or the mean of the two in the middle. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? NaN;
  return (lower + upper) / 2;
}

/** The sample below which the given share of the samples is. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/**
 * A row of medians. Its ratio is the median of the runs' ratios, so that a slow time of the machine affects both sides.
 */
export function rowOf(
  name: string,
  unit: string,
  samples: readonly number[],
  compared: { yardstick?: { name: string; samples: readonly number[] }; target?: Target } = {},
): Row {
  const { yardstick, target } = compared;
  return {
    kind: 'measured',
    name,
    unit,
    value: median(samples),
    ...(yardstick && {
      yardstick: { name: yardstick.name, value: median(yardstick.samples) },
      ratio: median(samples.map((sample, run) => sample / (yardstick.samples[run] ?? NaN))),
    }),
    ...(target && { target }),
  };
}
