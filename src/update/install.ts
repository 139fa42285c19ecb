/**
 * Installs a trusted release beside the others, completely or not at all.
 * @module
 */
import type { Log } from '../base/log.ts';
import { removeFolder } from '../process/state/trash.ts';
import { type PrepareOptions, prepare } from './prepare.ts';
import type { Release } from './sources/source.ts';
import type { Versions } from './versions/version-store.ts';

export interface InstallOptions extends PrepareOptions {
  readonly versions: Versions;
  readonly log: Log;
}

/** @throws What {@link prepare} throws, and errors of the file system. */
export async function install(release: Release, options: InstallOptions): Promise<void> {
  const { versions, signal, log } = options;
  const staging = versions.stagingDirectory();
  try {
    const folder = await prepare(release, staging, options);
    signal.throwIfAborted();
    await versions.install(folder, release.version);
  } finally {
    // If this fails, the next start tries again.
    await removeFolder(staging).catch((error: unknown) => log.warn('cannot remove what an update has left', { error }));
  }
}
