/**
 * The directories that an agent may work in: its workdir and the additional ones.
 * @module
 */
import { resolve, sep } from 'node:path';
import { inDirectory, isUsable, isWithin, realPathOf } from '../../base/files/real-path.ts';
import { Roots } from '../../base/files/roots.ts';

export class Sandbox {
  /** The base of relative paths. */
  readonly workdir: string;
  /** For the calls that are made: no link that changes meanwhile leads them out. */
  readonly roots: Roots;

  private constructor(workdir: string, roots: Roots) {
    this.workdir = workdir;
    this.roots = roots;
  }

  /** @throws the system's error for a missing directory. */
  static async of(workdir: string, additionalDirectories: readonly string[] = []): Promise<Sandbox> {
    return new Sandbox(resolve(workdir), await Roots.of(workdir, [workdir, ...additionalDirectories]));
  }

  /** Whether the path as it is written leads out of the sandbox, regardless of links. */
  isWrittenOutside(path: string): boolean {
    const written = resolve(this.workdir, path);
    return !isWithin(this.workdir, written) && !this.roots.contains(written);
  }

  /**
   * The real path: links and `..` are resolved as far as the path exists. `undefined` if the path leads out of the
   * sandbox, or is ambiguous: to the kernel `link/..` is another directory than to a reader of the text.
   *
   * The path itself need not exist. On case-insensitive file systems the result has the case of the existing names.
   */
  async realPathOf(path: string): Promise<string | undefined> {
    if (!isUsable(path)) return undefined;
    try {
      const real = await realPathOf(resolve(this.workdir, path));
      if (!this.roots.contains(real)) return undefined;
      if (!path.split(sep).includes('..')) return real;
      const asWritten = await realPathOf(inDirectory(this.workdir, path));
      return asWritten === real ? real : undefined;
    } catch {
      // No permission to enter a directory, a cycle of links, or a name that is too long.
      return undefined;
    }
  }
}
