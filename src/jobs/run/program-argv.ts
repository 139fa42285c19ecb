/**
 * Decides by a job's mode which program runs. Pure, but for a script that is too long for an argument.
 * @module
 */
import { basename, join } from 'node:path';
import { writeRegular } from '../../base/files/untrusted-file.ts';
import { shellArgv, shellFlags } from '../../process/shell-argv.ts';
import type { AgentProgram } from '../../protocol/agents/program.ts';
import type { PersistentProgram, Program } from '../../protocol/jobs/exec.ts';

/** Linux accepts no argument beyond 128 KiB (MAX_ARG_STRLEN, execve(2)): a longer script is run from a file. */
const longestArgumentBytes = 100_000;

/** Programs that run in a process of their own, without an agent's runner. */
export type OwnProgram = Exclude<Program, PersistentProgram | AgentProgram>;

export interface ProgramOptions {
  /** Where a script that is too long for an argument is written. */
  readonly directory: string;
  /** The path of a shell. */
  readonly pathOf: (shell: string) => string;
  readonly platform?: NodeJS.Platform;
}

/** The program and its arguments. A job without a shell was accepted by a version whose default was /bin/sh. */
export function programFor(program: OwnProgram, options: ProgramOptions): readonly string[] {
  if (program.mode === 'argv') return program.argv;
  const { directory, pathOf, platform = process.platform } = options;
  const { command } = program;
  const shell = program.shell === undefined ? undefined : pathOf(program.shell);
  const name = basename(shell ?? (platform === 'win32' ? 'cmd' : 'sh')).toLowerCase().replace(/\.exe$/, '');
  const file = shell ?? (platform === 'win32' ? 'cmd.exe' : '/bin/sh');
  if (name === 'cmd') return [file, '/d', '/s', '/c', command];
  if (['pwsh', 'powershell'].includes(name)) return [
    file, '-NoLogo', '-NoProfile', '-NonInteractive', '-Command', command,
  ];
  if (Buffer.byteLength(command) <= longestArgumentBytes) return shellArgv(file, command);
  const script = join(directory, 'command');
  writeRegular(script, command);
  return [file, ...shellFlags(file), script];
}
