/**
 * Decides whether a job's output goes through pipes. A program that reopens /dev/stdout or /dev/stderr, as
 * `echo x >/dev/stderr` and `tee /dev/stderr` do, opens on Linux what the descriptor refers to (proc(5), /proc/PID/fd):
 * a file is truncated then, a pipe is not.
 * @module
 */
import { realpath } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRegularLater, readAt } from '../base/files/untrusted-file.ts';
import type { Program } from '../protocol/jobs/exec.ts';
import type { OutputWay } from '../protocol/jobs/fields.ts';

const names = /\/dev\/(?:stdout|stderr|fd\/[12])(?!\w)|\/proc\/(?:self|thread-self|\$\$)\/fd\/[12](?!\w)/;
/** How much of a script is searched, in bytes. */
const scriptBytes = 65_536;
/** How many words of a command are looked at as scripts. */
const mostScripts = 4;
/** How long the scripts may take to be read: a file system that does not answer is not waited for. */
const lookMs = 1000;

/**
 * @param program The program of the request.
 * @param where.workdir Scripts are looked for there.
 */
export async function outputWay(
  program: Program,
  where: { readonly workdir: string; readonly platform?: NodeJS.Platform },
): Promise<OutputWay> {
  const { workdir, platform = process.platform } = where;
  // Elsewhere /dev/stderr is a duplicate of the descriptor (fd(4)), and nothing is truncated.
  if (platform !== 'linux' || program.mode === 'acp') return 'file';
  const words = program.mode === 'argv' ? program.argv : [program.command];
  if (words.some((word) => names.test(word))) return 'pipe';
  const scripts = candidates(program).map((path) => (isAbsolute(path) ? path : join(workdir, path)));
  if (scripts.length === 0) return 'file';
  const late = new AbortController();
  const look = Promise.all(scripts.map(namesOutput)).then((found) => found.includes(true));
  const isPipe = await Promise.race([
    look,
    sleep(lookMs, false, { signal: late.signal, ref: false }).catch(() => false),
  ]);
  late.abort();
  return isPipe ? 'pipe' : 'file';
}

/** Words that may name a script: the program by its path, and the arguments of an interpreter. */
function candidates(program: Exclude<Program, { readonly mode: 'acp' }>): readonly string[] {
  const words = program.mode === 'argv'
    ? program.argv.slice(0, 1 + mostScripts)
    : program.command.slice(0, 4096).split(/[\s;&|()'"`]+/);
  return words
    .filter((word) => /^[\w./~+@-]+$/.test(word)
      && (word.includes('/') || /\.\w+$/.test(word))
      && !word.startsWith('-'))
    .slice(0, mostScripts);
}

async function namesOutput(path: string): Promise<boolean> {
  try {
    const file = await openRegularLater(await realpath(path));
    try {
      const text = (await readAt(file, 0, scriptBytes)).toString('latin1');
      // A binary is not a script.
      return !text.includes('\0') && names.test(text);
    } finally {
      await file.close();
    }
  } catch {
    // Not a file that can be read: not a script.
    return false;
  }
}
