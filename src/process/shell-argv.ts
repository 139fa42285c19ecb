/**
 * How a shell is started that runs one text. Pure.
 * @module
 */
import { basename } from 'node:path';

/** The shell with a text to run. */
export function shellArgv(file: string, command: string): readonly string[] {
  return [file, ...shellFlags(file), '-c', command];
}

/**
 * bash is kept from reading `~/.bashrc`: it does so for a text when its stdin is a socket, as under sshd (bash(1), Invocation).
 */
export function shellFlags(file: string): readonly string[] {
  return basename(file) === 'bash' ? ['--norc'] : [];
}
