/**
 * The part of a server that reads and writes the files of its machine.
 * @module
 */
import { asSystemError } from '../../base/error-code.ts';
import { Roots } from '../../base/files/roots.ts';
import { Files } from '../../files/files.ts';
import { fileRoutes } from '../../files/routes.ts';
import { ownDirectory } from '../../process/workdir.ts';
import type { ServerContext } from '../context.ts';

/** Once the server has started. */
const firstSweepMs = 1_000;
const sweepMs = 6 * 3_600_000;

/** @throws Error for a root that is missing. */
export async function openFiles({ config, log, parts }: ServerContext): Promise<void> {
  const { filesRoots, stateDir } = config;
  const base = ownDirectory();
  const roots = filesRoots.length === 0 ? Roots.everywhere(base) : await rootsOf(base, filesRoots);
  let made: Files | undefined;
  const programPath = config.jobEnvironment['PATH'] ?? '';
  const files = (): Files => made ??= new Files({ roots, stateDir, log, programPath });
  const endWatches = (): void => made?.watches.close();
  const first = setTimeout(() => files().sweep(), firstSweepMs).unref();
  const others = setInterval(() => files().sweep(), sweepMs).unref();
  parts.onClose('files', () => {
    clearTimeout(first);
    clearInterval(others);
    endWatches();
  });
  parts.add({ routes: fileRoutes(files), endWaits: endWatches, beginClose: endWatches });
}

async function rootsOf(base: string, directories: readonly string[]): Promise<Roots> {
  try {
    return await Roots.of(base, directories);
  } catch (error) {
    const named = asSystemError(error).path ?? directories.join(', ');
    throw new Error(`Cannot use --files-root ${named}: there is no such directory`, { cause: error });
  }
}
