/**
 * Watches a folder where a watch only saves time: what it misses is found by looks at intervals.
 * @module
 */
import { type FSWatcher, watch } from 'node:fs';

/** Calls `listener` for changes in the folder. `undefined`: it cannot be watched. A watch that fails later ends. */
export function watchFolder(
  folder: string, listener: (event: string, name: string | null) => void,
): FSWatcher | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, listener);
    // The folder is gone, or a limit was reached.
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
