/**
 * bash, zsh and sh. Everything of ours is called by `builtin` or `command`, as a job may have given the names to functions of its own.
 * @module
 */
import { quote } from '../base/shell-word.ts';
import { assignments } from '../process/environment/shell-variables.ts';
import { bootstrapFailed, type Dialect, type ShellJob } from './dialect.ts';

/** bash(1), zsh(1), dash(1): what differs between them. */
interface Posix {
  readonly flags: readonly string[];
  /** Calls what is built in, whatever functions there are. dash: also keeps an error of a special one from ending the shell. */
  readonly builtin: string;
  /** Of the control. One digit is all that dash takes; a higher number leaves those to the user. */
  readonly descriptor: number;
  /**
   * Opens the FIFO for the stdin of the command, before the job is claimed: whoever sees the claim may write. Its end comes only if the shell
   * itself does not have it open for writing.
   */
  readonly fifo: {
    /** Around all of it: a beginning, and an end with the path of the FIFO. */
    readonly open: (path: string) => string;
    readonly end: (path: string) => string;
    /** The redirection of the command. */
    readonly redirect: string;
    /** Behind the command, and where it is not run. */
    readonly close: { readonly after: string; readonly instead: string };
  };
}

/** Opened for both, which never waits, and then again for reading alone, which does not wait any more. */
const opened = (path: string): string => `exec {__sidecar_hold}<>${path} {__sidecar_in}<${path} {__sidecar_hold}>&-\n`;
const nothing = (): string => '';
const closed = 'exec {__sidecar_in}<&-\n';

const shells: { readonly [K in 'bash' | 'zsh' | 'sh']: Posix } = {
  bash: {
    flags: ['--norc', '--noprofile', '-O', 'expand_aliases'], builtin: 'builtin', descriptor: 99,
    // Of two redirections of one descriptor bash keeps what the first one opened until both are undone.
    fifo: { open: opened, end: nothing, redirect: '<&$__sidecar_in-', close: { after: closed, instead: closed } },
  },
  sh: {
    flags: [], builtin: 'command', descriptor: 9,
    fifo: { open: () => '{\n', end: (path) => `} <>${path} <${path}\n`, redirect: '', close: { after: '', instead: '' } },
  },
  zsh: {
    flags: ['-f', '-o', 'aliases'], builtin: 'builtin', descriptor: 9,
    // zshmisc(1), MULTIOS: two redirections of one descriptor would be read one after the other.
    fifo: { open: opened, end: nothing, redirect: '<&$__sidecar_in {__sidecar_in}<&-', close: { after: '', instead: closed } },
  },
};

export const posix: { readonly [K in 'bash' | 'zsh' | 'sh']: Dialect } = { bash: dialect(shells.bash), zsh: dialect(shells.zsh), sh: dialect(shells.sh) };

function dialect(shell: Posix): Dialect {
  const { flags, builtin, descriptor } = shell;
  return {
    argv: (program, control) => [program, ...flags, control],
    begin: (control, environment) => `exec ${descriptor}<>${quote(control)} >/dev/null 2>&1; ${builtin} . ${quote(environment)}`,
    exports: (variables) => assignments(variables).map((word) => `${builtin} export ${quote(word)}\n`).join(''),
    source: (runFile) => `${builtin} . ${quote(runFile)}`,
    run: (job) => runFile(shell, job),
  };
}

function runFile(shell: Posix, { directory, id, claim: line, stdin, bootstrap: path }: ShellJob): string {
  const { builtin, descriptor, fifo } = shell;
  const file = (name: string): string => quote(`${directory}/${name}`);
  const claim = quote(line);
  const isFifo = stdin === 'fifo';
  const redirect = isFifo ? fifo.redirect : `<${stdin === 'file' ? file('stdin') : '/dev/null'}`;
  const { after, instead } = isFifo ? fifo.close : { after: '', instead: '' };
  return `${isFifo ? fifo.open(file('stdin')) : ''}${builtin} echo ${claim} >>${file('process')}
IFS= ${builtin} read -r __sidecar <${file('process')}
if ${builtin} [ "$__sidecar" = ${claim} ]; then
${builtin} export SIDECAR_JOB_ID=${quote(id)}
${path === undefined ? '' : bootstrap(shell, path, file('stderr'))}${builtin} . ${file('command')} ${redirect} >>${file('stdout')} 2>>${file('stderr')} ${descriptor}>&-
__sidecar=$?
${after}${plain(shell, file('exit'))}${builtin} echo "$__sidecar" >>${file('exit')}
${instead === '' ? '' : `else ${instead}`}fi
${isFifo ? fifo.end(file('stdin')) : ''}`;
}

/** The job may have put a FIFO there, on which the open would wait, a link or a text. Only from this file does a server learn that the job has ended. */
function plain({ builtin }: Posix, path: string): string {
  const is = (test: string): string => `${builtin} [ ${test} ${path} ]`;
  return `{ ${is('-f')} && ! ${is('-h')} && ! ${is('-s')}; } || /bin/rm -rf -- ${path}\n`;
}

/** What it prints is for whoever looks for a fault: the stdout of the job is that of its command alone. */
function bootstrap({ builtin, descriptor }: Posix, path: string, stderr: string): string {
  return `${builtin} . ${quote(path)} </dev/null >>${stderr} 2>&1 ${descriptor}>&-
__sidecar=$?
if ${builtin} [ "$__sidecar" != 0 ]; then ${builtin} echo "${bootstrapFailed} $__sidecar" >>${stderr}; fi
`;
}
