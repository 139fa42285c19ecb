/**
 * Runs the tar of the system as a child process.
 * @module
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { errorCode } from '../../base/error-code.ts';
import { ProblemError } from '../../protocol/problem.ts';

/**
 * Without the variables of the server: `TAR_OPTIONS` would change what tar does. The tar of macOS would pack further
 * files, `._NAME`.
 */
export const ownEnvironment = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', COPYFILE_DISABLE: '1' } as const;

const versionMs = 10_000;
const maxSaidBytes = 4096;

export type Flavour = 'gnu' | 'bsd' | 'other';

/** How tar ended. */
export interface TarEnd {
  /** `null`: a signal ended it. */
  readonly exitCode: number | null;
  /** The beginning of what it wrote to stderr, without its name. */
  readonly said: readonly string[];
}

export interface Tar {
  readonly stdin: Writable | null;
  /** To be iterated over; nothing of it is lost before that. */
  readonly stdout: Readable | null;
  readonly ended: Promise<TarEnd>;
  readonly kill: () => void;
}

let known: Promise<Flavour> | undefined;

/** Which tar this machine has. @throws ProblemError not_supported where it has none. */
export function flavour(): Promise<Flavour> {
  known ??= lookUp().catch((error: unknown) => {
    known = undefined;
    throw error;
  });
  return known;
}

async function lookUp(): Promise<Flavour> {
  try {
    const { stdout } = await promisify(execFile)('tar', ['--version'], { env: ownEnvironment, timeout: versionMs });
    if (stdout.includes('GNU tar')) return 'gnu';
    return stdout.includes('bsdtar') ? 'bsd' : 'other';
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      throw new ProblemError('not_supported', 'Cannot use archives: this machine has no tar', { cause: error });
    }
    return 'other';
  }
}

/**
 * Starts tar. When this returns, its working directory is open to it: the caller may close what it was named by.
 *
 * @param options.cwd A directory that is held open, or a path.
 * @param options.takesInput Whether `stdin` is a pipe. @param options.givesOutput Whether `stdout` is one.
 */
export function startTar(
  args: readonly string[],
  { cwd, takesInput = false, givesOutput = false }: {
    readonly cwd: string; readonly takesInput?: boolean; readonly givesOutput?: boolean;
  },
): Tar {
  const child = spawn('tar', args, {
    cwd, env: ownEnvironment, stdio: [takesInput ? 'pipe' : 'ignore', givesOutput ? 'pipe' : 'ignore', 'pipe'],
  });
  // What fails to be written shows in the exit code.
  child.stdin?.on('error', () => undefined);
  // When a process has exited, Node discards what is not being read: this counts as reading.
  child.stdout?.on('readable', () => undefined);
  return {
    stdin: child.stdin, stdout: child.stdout, ended: endOf(child),
    kill: () => void child.kill('SIGKILL'),
  };
}

function endOf(child: ChildProcess): Promise<TarEnd> {
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
    if (text.length < maxSaidBytes) text += piece.slice(0, maxSaidBytes - text.length);
  });
  const ended = new Promise<TarEnd>((resolve, reject) => {
    child.once('error', reject).once('close', (exitCode) => {
      const lines = text.split('\n').filter((line) => line !== '');
      resolve({ exitCode, said: lines.map((line) => line.replace(/^\S*tar: /, '')) });
    });
  });
  // It is awaited later.
  ended.catch(() => undefined);
  return ended;
}
