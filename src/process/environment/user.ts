/**
 * Sets what login(1) would have set: services, cron and containers start programs without it.
 * @module
 */
import { homedir, type UserInfo, userInfo } from 'node:os';
import { isExecutable } from '../find-program.ts';
import type { Environment, Variables } from './secrets.ts';

/** systemd's default (systemd.exec(5), $PATH). */
const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * HOME, USER, LOGNAME and SHELL from the user database, and a PATH, where they are missing or empty. Nothing on
 * Windows, which always has its own.
 */
export function userDefaults(environment: Environment, platform: NodeJS.Platform = process.platform): Variables {
  const missing = ['HOME', 'USER', 'LOGNAME', 'SHELL'].filter((name) => !environment[name]);
  if (platform === 'win32') return {};
  const path: Variables = environment['PATH'] ? {} : { PATH: defaultPath };
  if (missing.length === 0) return path;
  const user = userEntry();
  const known: Environment = {
    HOME: user?.homedir,
    USER: user?.username,
    LOGNAME: user?.username,
    SHELL: loginShell(environment),
  };
  return { ...path, ...Object.fromEntries(missing.flatMap((name) => (known[name] ? [[name, known[name]]] : []))) };
}

/** The user's own shell, if it can be run: the shell of a service's user is often nologin(8), which runs nothing. */
export function loginShell(environment: Environment): string {
  const candidates = [environment['SHELL'], userEntry()?.shell, '/bin/bash'];
  return candidates.find((shell) => typeof shell === 'string' && shell.startsWith('/')
    && !/\/(nologin|false)$/.test(shell) && isExecutable(shell)) ?? '/bin/sh';
}

/** The home directory of the user that this program runs as. */
export function homeDirectory(environment: Environment): string {
  return environment['HOME'] || homedir();
}

/** `undefined`: the user has no entry in passwd(5), as in containers that run as a bare uid. */
function userEntry(): UserInfo<string> | undefined {
  try {
    return userInfo();
  } catch {
    return undefined;
  }
}
