/**
 * The shells that run the jobs of mode `shell`: the default for a request without a `shell`, and the path of each.
 * @module
 */
import { ParseError } from '../../base/parse.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { shellKindOf } from '../../protocol/shells.ts';
import { findProgram, isExecutable } from '../find-program.ts';
import { findBash } from './pool.ts';

export interface JobShellsOptions {
  /** A name or a path that replaces the default. Default: bash where the machine has one, else sh; cmd on Windows. */
  readonly preferred?: string | undefined;
  /** The search path, as in the environment of the jobs. */
  readonly path: string;
  readonly platform?: NodeJS.Platform;
}

export class JobShells {
  readonly #path: string;
  readonly #isWindows: boolean;
  readonly #preferred: string | undefined;
  /** Name → path, as found last. */
  readonly #found = new Map<string, string>();

  constructor({ preferred, path, platform = process.platform }: JobShellsOptions) {
    this.#path = path;
    this.#isWindows = platform === 'win32';
    this.#preferred = preferred === undefined ? undefined : normalized(preferred);
  }

  /** The shell for a request that names none: a name or a path. */
  get defaultShell(): string {
    if (this.#preferred !== undefined) return this.#preferred;
    if (this.#isWindows) return 'cmd';
    return this.#find('bash') === undefined ? 'sh' : 'bash';
  }

  /**
   * The shell for a request. On Windows the result for a request that names none may be `undefined`: cmd.
   *
   * @param given A name or a path; `undefined`: the default.
   * @param jobPath The PATH that the request gives its job.
   * @throws ParseError where nothing has that name; ProblemError not_supported where this machine does not have the
   *   shell.
   */
  admit(given: string | undefined, jobPath?: string): string | undefined {
    if (this.#isWindows) return given ?? this.#preferred;
    const shell = given ?? this.defaultShell;
    if (isPath(shell) && (given !== undefined || isExecutable(shell))) return shell;
    if (!isPath(shell) && this.#find(shell, jobPath) !== undefined) return shell;
    const have = `this machine has ${this.#installed()}`;
    const cannot = `Cannot run the command by ${shell}`;
    if (given === undefined)
      throw new ProblemError('not_supported', `${cannot}, the default shell of this server: ${have}`);
    if (shellKindOf(shell) !== undefined) throw new ProblemError('not_supported', `${cannot}: ${have}`);
    const received = JSON.stringify(shell.slice(0, 200));
    throw new ParseError(
      'body.shell', `expected the name of a shell (${have}) or the path of one, received ${received}`,
    );
  }

  /** The path of the shell, or `shell` itself where no path is known. */
  programOf(shell: string, jobPath?: string): string {
    if (this.#isWindows || isPath(shell)) return shell;
    return this.#find(shell, jobPath) ?? shell;
  }

  /** The program of the default shell. */
  get defaultProgram(): string {
    return this.programOf(this.defaultShell);
  }

  /** @throws Error where the preferred shell does not exist. */
  checkDefault(): void {
    const preferred = this.#preferred;
    if (preferred === undefined || this.#isWindows) return;
    if (isPath(preferred) ? isExecutable(preferred) : this.#find(preferred) !== undefined) return;
    throw new Error(`Cannot use --shell ${preferred}: there is no such program; this machine has ${this.#installed()}`);
  }

  #installed(): string {
    return ['bash', 'zsh', 'sh', 'pwsh'].filter((name) => this.#find(name) !== undefined).join(', ');
  }

  /** Checks the known path first; searches only where no path is known or the file is gone. */
  #find(name: string, jobPath?: string): string | undefined {
    const own = jobPath === undefined ? undefined : findProgram(name, jobPath);
    if (own !== undefined) return own;
    const known = this.#found.get(name);
    if (known !== undefined && isExecutable(known)) return known;
    const found = this.#search(name);
    if (found === undefined) this.#found.delete(name);
    else this.#found.set(name, found);
    return found;
  }

  #search(name: string): string | undefined {
    // POSIX promises no path for sh, but systems have it at /bin/sh, and scripts name it there.
    if (name === 'sh' && isExecutable('/bin/sh')) return '/bin/sh';
    return findProgram(name, this.#path) ?? (name === 'bash' ? findBash() : undefined);
  }
}

/** Names of shells are case-insensitive. */
function normalized(shell: string): string {
  return shellKindOf(shell) ?? shell;
}

function isPath(shell: string): boolean {
  return shell.includes('/');
}
