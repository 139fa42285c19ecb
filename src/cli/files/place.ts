/**
 * What the words of `cp` and `sync` name: files of the machine, files of here, stdin and stdout.
 * @module
 */
import { type FileInfo, ProblemError, type Sidecar } from '../../client/client.ts';

export type NamedPlace = { readonly at: 'machine' | 'here'; readonly path: string };
export type Place = NamedPlace | { readonly at: 'stream' };

/** `:PATH` is of the machine, `-` stdin or stdout. */
export function placeOf(word: string): Place {
  return word === '-' ? { at: 'stream' } : namedPlaceOf(word);
}

export function namedPlaceOf(word: string): NamedPlace {
  return word.startsWith(':') ? { at: 'machine', path: word.slice(1) || '.' } : { at: 'here', path: word };
}

/** As it was written. */
export function wordOf({ at, path }: NamedPlace): string {
  return at === 'machine' ? `:${path}` : path;
}

/** What is on the machine, links followed. `undefined`: nothing. */
export async function statIfThere(sidecar: Sidecar, path: string): Promise<FileInfo | undefined> {
  try {
    return await sidecar.files.stat(path, { follow: true });
  } catch (error) {
    if (!(error instanceof ProblemError) || error.code !== 'file_not_found') throw error;
    return undefined;
  }
}
