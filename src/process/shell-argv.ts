/**
 * The command line of a shell that runs one text. Pure.
 * @module
 */
import { basename } from 'node:path';

/** The argv of a shell that runs `command`. */
export function shellArgv(file: string, command: string): readonly string[] {
  return [file, ...shellFlags(file), '-c', command];
}

/**
 * `--norc` keeps bash from reading `~/.bashrc`: it would if its stdin is a socket, as under sshd (bash(1), Invocation).
 */
export function shellFlags(file: string): readonly string[] {
  return basename(file) === 'bash' ? ['--norc'] : [];
}
