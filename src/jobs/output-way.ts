/**
 * Decides whether a job's output goes through pipes. A program that opens /dev/stdout or /dev/stderr anew, as `echo x >/dev/stderr` and
 * `tee /dev/stderr` do, opens on Linux what stands behind it (proc(5), /proc/PID/fd): a file is truncated then, a pipe is not.
 * @module
 */
import { realpath } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRegularLater, readAt } from '../base/untrusted-file.ts';
import type { OutputWay, Program } from '../protocol/jobs.ts';

const names = /\/dev\/(?:stdout|stderr|fd\/[12])(?!\w)|\/proc\/(?:self|thread-self|\$\$)\/fd\/[12](?!\w)/;
/** How much of a script is looked at. */
const scriptBytes = 65_536;
/** How many words of a command may name a script. */
const mostScripts = 4;
/** A script on a file system that does not answer is not waited for. */
const lookMs = 1000;

/**
 * @param program What is asked for.
 * @param where.workdir Scripts are looked for there.
 */
export async function outputWay(program: Program, where: { readonly workdir: string; readonly platform?: NodeJS.Platform }): Promise<OutputWay> {
  const { workdir, platform = process.platform } = where;
  // Elsewhere /dev/stderr is a duplicate of the descriptor (fd(4)), and nothing is truncated.
  if (platform !== 'linux' || program.mode === 'acp') return 'file';
  const words = program.mode === 'argv' ? program.argv : [program.command];
  if (words.some((word) => names.test(word))) return 'pipe';
  const scripts = candidates(program).map((path) => (isAbsolute(path) ? path : join(workdir, path)));
  if (scripts.length === 0) return 'file';
  const late = new AbortController();
  const look = Promise.all(scripts.map(namesOutput)).then((found) => found.includes(true));
  const isPipe = await Promise.race([look, sleep(lookMs, false, { signal: late.signal, ref: false }).catch(() => false)]);
  late.abort();
  return isPipe ? 'pipe' : 'file';
}

/** The words that may name a script: the program by its path, and what an interpreter is given. */
function candidates(program: Exclude<Program, { readonly mode: 'acp' }>): readonly string[] {
  const words = program.mode === 'argv' ? program.argv.slice(0, 1 + mostScripts) : program.command.slice(0, 4096).split(/[\s;&|()'"`]+/);
  return words.filter((word) => /^[\w./~+@-]+$/.test(word) && (word.includes('/') || /\.\w+$/.test(word)) && !word.startsWith('-')).slice(0, mostScripts);
}

async function namesOutput(path: string): Promise<boolean> {
  try {
    const file = await openRegularLater(await realpath(path));
    try {
      const text = (await readAt(file, 0, scriptBytes)).toString('latin1');
      // A program in machine language is no script.
      return !text.includes('\0') && names.test(text);
    } finally {
      await file.close();
    }
  } catch {
    // No file, or not one that can be read: no script.
    return false;
  }
}
