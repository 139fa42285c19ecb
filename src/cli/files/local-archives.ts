/**
 * Archives of the files of this machine, by the same rules as those of a server: what comes from one is looked at
 * before it takes its place.
 * @module
 */
import { rmSync } from 'node:fs';
import { Roots } from '../../base/files/roots.ts';
import { Archives } from '../../files/archive/archives.ts';
import { removeAt, temporaryName } from '../../files/unfinished.ts';
import { dirname, join } from 'node:path';

/** Signals that end the program: what is half unpacked goes first. */
const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export function localArchives(): Archives {
  const beside: ConstructorParameters<typeof Archives>[0]['unfinished']['beside'] = async (place, act) => {
    const name = temporaryName();
    const path = place.beside(name);
    const real = join(dirname(place.realPath), name);
    const end = (signal: NodeJS.Signals): void => {
      rmSync(real, { recursive: true, force: true });
      process.kill(process.pid, signal);
    };
    for (const signal of endings) process.once(signal, end);
    try {
      return await act(path);
    } finally {
      // It has moved to its place, or what is left of it is of no use.
      await removeAt({ ...place, path }).catch(() => undefined);
      for (const signal of endings) process.off(signal, end);
    }
  };
  return new Archives({
    roots: Roots.everywhere(process.cwd()), unfinished: { beside }, log: { warn: () => undefined },
  });
}
