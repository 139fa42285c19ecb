/**
 * Timers of any length: Node's own timers fire at once beyond 2^31 ms (24.8 days).
 * @module
 */

const longestMs = 2 ** 31 - 1;

/** Calls `then` after `delayMs`, of any length. @returns Cancels the timer. */
export function longTimeout(then: () => void, delayMs: number): () => void {
  let timer: NodeJS.Timeout;
  const deadline = performance.now() + delayMs;
  const arm = (): void => {
    const leftMs = deadline - performance.now();
    timer = leftMs <= longestMs ? setTimeout(then, Math.max(0, leftMs)) : setTimeout(arm, longestMs);
  };
  arm();
  return () => clearTimeout(timer);
}
