/**
 * Copies the folder of a package, under the same rules as for a tarball.
 * @module
 */
import type { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openRegularLater } from '../../base/files/untrusted-file.ts';
import type { TarEntry } from './tar-entries.ts';
import { type UnpackOptions, type Unpacked, writeEntries } from './write-entries.ts';

/** Folders of a checkout that are not part of the package; npm does not pack them either. */
const left = ['.git', 'node_modules'];

/**
 * Copies the files and folders in `folder` into `target`, as {@link writeEntries} does.
 *
 * @throws TarballError where there is a link, a device, or too much; the system's error; the signal's reason.
 */
export async function copyPackage(folder: string, target: string, options: UnpackOptions): Promise<Unpacked> {
  return await writeEntries(entriesIn(folder, ''), target, options);
}

/** @param below Path of the folder within the package: empty, or ending in a slash. */
async function* entriesIn(folder: string, below: string): AsyncGenerator<TarEntry, void> {
  for (const name of (await readdir(folder)).sort()) {
    if (below === '' && left.includes(name)) continue;
    const path = join(folder, name);
    const stats = await lstat(path);
    const kind = kindOf(stats);
    const size = kind === 'file' ? stats.size : 0;
    yield {
      name: `package/${below}${name}`,
      kind,
      size,
      isExecutable: (stats.mode & 0o100) !== 0,
      content: () => read(path, size),
    };
    if (kind === 'directory') yield* entriesIn(path, `${below}${name}/`);
  }
}

function kindOf(stats: Stats): TarEntry['kind'] {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symbolic link';
  if (stats.isFIFO()) return 'FIFO';
  if (stats.isCharacterDevice()) return 'character device';
  return stats.isBlockDevice() ? 'block device' : 'thing of unknown type';
}

/** Reads no more bytes than were counted, even if the file grows. */
async function* read(path: string, size: number): AsyncGenerator<Buffer, void> {
  if (size === 0) return;
  const file = await openRegularLater(path, { owner: 'anyone' });
  try {
    for await (const piece of file.createReadStream({ end: size - 1, autoClose: false })) yield piece as Buffer;
  } finally {
    await file.close();
  }
}
