/**
 * Passes variables through a bash of ours to the program that it becomes, though bash itself obeys some and cannot have
 * others.
 * @module
 */
import type { Environment, Variables } from './secrets.ts';

/**
 * `plain`: bash has no use for it. `obeyed`: bash acts on it, or changes it; it is exported last, just before the
 * program replaces bash. `own`: bash makes it itself and cannot export another value; env(1) can, and its value is no
 * secret. `foreign`: no shell variable can have that name, or our script uses it.
 */
export type Handling = 'plain' | 'obeyed' | 'own' | 'foreign';

// bash(1), Shell Variables: those with an effect on the shell, and those that it sets from the environment. zsh(1) and
// sh(1) obey no others without a terminal.
const obeyed = new RegExp(`^(${[
  'BASH', 'BASH_ARGV0', 'BASH_COMPAT', 'BASH_ENV', 'BASH_EXECUTION_STRING', 'BASH_LOADABLES_PATH', 'BASH_REMATCH',
  'BASH_SUBSHELL', 'BASH_TRAPSIG', 'BASH_VERSION', 'BASH_XTRACEFD', 'CDPATH', 'CHILD_MAX', 'COMP_.*', 'COMPREPLY',
  'COPROC', 'ENV', 'FCEDIT', 'FIGNORE', 'FPATH', 'FUNCNEST', 'GLOBIGNORE', 'GLOBSORT', 'HIST.*', 'HOSTFILE', 'IFS',
  'IGNOREEOF', 'INPUTRC', 'LC_ALL', 'MAILCHECK', 'MAILPATH', 'MAPFILE', 'NULLCMD', 'OLDPWD', 'OPT(ARG|ERR|IND)',
  'POSIXLY_CORRECT', 'PROMPT.*', 'PS\\d', 'PWD', 'READLINE_.*', 'READNULLCMD', 'REPLY', 'TEXTDOMAIN.*', 'TIMEFORMAT',
  'TMOUT', 'ZDOTDIR', 'auto_resume', 'histchars',
].join('|')})$`);

const own = new RegExp(`^(${[
  '_', 'BASHOPTS', 'BASHPID', 'BASH_(ALIASES|ARGC|ARGV|CMDS|COMMAND|LINENO|MONOSECONDS|SOURCE|VERSINFO)',
  'BASH_FUNC_.*', 'DIRSTACK', 'EPOCH(REALTIME|SECONDS)', 'E?UID', 'EXECIGNORE', 'FUNCNAME', 'GROUPS', 'HISTCMD',
  'LINENO', 'PIPESTATUS', 'PPID', 'S?RANDOM', 'SECONDS', 'SHELLOPTS', 'SHLVL',
].join('|')})$`);

export function handlingOf(name: string): Handling {
  if (own.test(name)) return 'own';
  if (!/^[A-Za-z_]\w*$/.test(name) || name.startsWith('sc_')) return 'foreign';
  return obeyed.test(name) ? 'obeyed' : 'plain';
}

/** Groups variables by their handling. */
export function byHandling(variables: Variables): { readonly [K in Handling]: Variables } {
  const all = { plain: {}, obeyed: {}, own: {}, foreign: {} } as { [K in Handling]: { [name: string]: string } };
  for (const [name, value] of Object.entries(variables)) all[handlingOf(name)][name] = value;
  return all;
}

/** Variables as `NAME=value` words for export and env(1). */
export function assignments(variables: Variables): readonly string[] {
  return Object.entries(variables).map(([name, value]) => `${name}=${value}`);
}

/** Set by every shell for the programs that it starts, or passed on unchanged by a bash with -p. */
const passedOn = /^(_|SHLVL|E?UID|GROUPS|BASH_FUNC_.*)$/;
/** Set by bash at every start. */
const ofDirectory = /^(OLD)?PWD$/;

/**
 * Variables that no shell takes from its environment, though it obeys them once they are set: IFS and OPTIND (POSIX,
 * Shell Command Language 2.5.3), OPTERR (bash(1)), and those that zsh has under two names (zshparam(1)).
 */
const resetByShells = /^(IFS|OPTIND|OPTERR|HISTCHARS|histchars)$/;

/** The environment that a bash of ours is started with, and the variables that it adds for jobs. */
export interface ShellStart {
  readonly env: Variables;
  /** Exported last. */
  readonly obeyed: Variables;
  /** Passed by env(1). */
  readonly own: Variables;
}

/**
 * Splits the environment of jobs for a bash that starts them with `-p`: it ignores functions of the environment and
 * passes them on, as it does variables whose names no shell can have.
 */
export function shellStart(inherited: Variables): ShellStart {
  const { plain, obeyed: late, own: made, foreign } = byHandling(inherited);
  const [native, byEnv] = [
    filtered(made, (name) => passedOn.test(name)),
    filtered(made, (name) => !passedOn.test(name)),
  ];
  // LC_ALL=C: in the launcher's input a line is bytes, in any locale of the user. The script's own names go by env(1).
  const env = { ...plain, ...filtered(foreign, (name) => !name.startsWith('sc_')), ...native, LC_ALL: 'C' };
  const scripts = filtered(foreign, (name) => name.startsWith('sc_'));
  return { env, obeyed: filtered(late, (name) => !ofDirectory.test(name)), own: { ...byEnv, ...scripts } };
}

/**
 * How a persistent shell is started: without variables that it obeys, and without functions that would replace builtins
 * its loop needs.
 */
export interface OwnShellStart {
  /** The environment of the launch. */
  readonly env: Variables;
  /** Words in front of its argv. */
  readonly prefix: readonly string[];
  /** To be exported in the shell once it has started. Excludes shell options, which belong to the session. */
  readonly obeyed: Variables;
}

const loopFunction = /^BASH_FUNC_(builtin|command|exec)(%%|\(\))$/;

/** @param requested Laid over `inherited`. Variables whose names no shell can have are left out. */
export function ownShellStart(inherited: Variables, requested: Variables): OwnShellStart {
  const { plain, own: made } = byHandling(requested);
  const hindering = Object.keys(inherited).filter((name) => loopFunction.test(name));
  const before = filtered(byHandling(inherited).obeyed, (name) => !ofDirectory.test(name));
  const obeyed = filtered({ ...before, ...byHandling(requested).obeyed }, (name) => !resetByShells.test(name));
  return {
    env: {
      ...plain,
      ...filtered(made, (name) => !/^(SHELLOPTS|BASHOPTS)$/.test(name) && !loopFunction.test(name)),
    },
    prefix: hindering.length === 0 ? [] : ['/usr/bin/env', ...hindering.flatMap((name) => ['-u', name])],
    obeyed,
  };
}

function filtered(variables: Variables, isMeant: (name: string) => boolean): Variables {
  return Object.fromEntries(Object.entries(variables).filter(([name]) => isMeant(name)));
}

/** The environment for small system programs, such as stty(1): a search path, and messages in English. */
export function toolEnvironment(inherited: Environment): Variables {
  const path = inherited['PATH'];
  return { PATH: `/usr/local/bin:/usr/bin:/bin${path ? `:${path}` : ''}`, LC_ALL: 'C' };
}

/** Removes Node's variables: they are meant for the user's programs, not for ours. */
export function withoutNodeOptions(inherited: Variables): Variables {
  return filtered(inherited, (name) => !name.startsWith('NODE_'));
}
