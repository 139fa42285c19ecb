import { setTimeout as sleep } from 'node:timers/promises';

/** Long, because agents start slowly on a busy machine. */
export const limitMs = 120_000;

/** @returns the first truthy result of `look`. */
export async function until(look, what, { ms = limitMs } = {}) {
  for (const deadline = performance.now() + ms; ;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`It did not happen within ${ms / 1000} s: ${what}`);
    await sleep(50);
  }
}
