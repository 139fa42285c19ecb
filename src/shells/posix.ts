/**
 * bash, zsh and sh. Everything of ours is called by `builtin` or `command`, as a job may have given the names to functions of its own.
 * @module
 */
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { quote } from '../base/shell-word.ts';
import { assignments } from '../process/environment/shell-variables.ts';
import {
  bootstrapFailed, type Dialect, interruptsFile, lastFile, type ShellJob, sleepsFile, toldFile,
} from './dialect.ts';

/** bash(1), zsh(1), dash(1): what differs between them. */
interface Posix {
  readonly flags: readonly string[];
  /** Calls what is built in, whatever functions there are. dash: also keeps an error of a special one from ending the shell. */
  readonly builtin: string;
  /** Appends to a file, and makes it where it is missing, even after `set -C`. */
  readonly append: '>>' | '>>|';
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
  /** How a job is stopped that goes on in the shell itself. */
  readonly interrupts: {
    /** Makes the shell act on the signal, before the job is claimed. */
    readonly accept: string;
    /** Around what runs the command: where an interrupt stops. */
    readonly around: (run: string) => string;
  };
}

/** Opened for both, which never waits, and then again for reading alone, which does not wait any more. */
const opened = (path: string): string => `exec {__sidecar_hold}<>${path} {__sidecar_in}<${path} {__sidecar_hold}>&-\n`;
const nothing = (): string => '';
const closed = 'exec {__sidecar_in}<&-\n';

/*
 * The interrupt of a job is a signal that the shell traps, so that the shell is never killed by it, as it would be by SIGINT. Its trap leaves
 * every function, loop and file that the command is in. `__sidecar_on` is empty where there is no command to stop, 1 before and 2 after a trap
 * on SIGINT of the user's was run: such a command goes on after the first interrupt, as it would at a terminal. `__sidecar_code` is the exit
 * code of a stopped command: that of the program that ended by its SIGINT, else 130.
 */

/** What `read` and `wait` say that were interrupted, or a loop, is not worth telling. */
const codeOfStopped = `case $__sidecar_got in (0|1|${128 + (constants.signals.SIGURG ?? 0)}) __sidecar_code=130 ;; (*) __sidecar_code=$__sidecar_got ;; esac`;

/**
 * How a trap begins, which may come again in the middle of itself: only one takes the command, from `__sidecar_on` to
 * `__sidecar_was`. Then it tells the server that the interrupt has reached the shell. It writes through no link, and to
 * no FIFO, that the job has put in the place of its files or of its directory: with that one gone `__sidecar_at` is
 * /dev/null.
 */
const take = (builtin: string, append: Posix['append']): string => `if ${builtin} [ "$__sidecar_on" ]; then
__sidecar_was=$__sidecar_on __sidecar_on=
if ${builtin} [ "$__sidecar_was" ]; then
__sidecar_at=/dev/null
if ${isFolder(builtin, '"${__sidecar_traps%/traps}"')}; then
__sidecar_at=$__sidecar_traps
for __sidecar_file in "$__sidecar_traps" "\${__sidecar_traps%traps}${interruptsFile}"; do
if ${builtin} [ -h "$__sidecar_file" ] || { ${builtin} [ -e "$__sidecar_file" ] && ! ${builtin} [ -f "$__sidecar_file" ]; }
then /bin/rm -rf -- "$__sidecar_file"; fi
done
if ${builtin} [ -e "\${__sidecar_traps%traps}${lastFile}" ]; then __sidecar_was=2; fi
${builtin} echo 2>/dev/null ${append}"\${__sidecar_traps%traps}${interruptsFile}" || ${builtin} :
fi
${codeOfStopped}`;

/**
 * By `return`, and by a DEBUG trap that leaves one function or file after the other (bash(1), extdebug): nothing else stops bash without a
 * terminal and lets it go on afterwards. `builtin [` alone has the status 2, which makes bash return. With `set -e` that would end the shell.
 *
 * bash sends SIGINT to itself where that has ended a command substitution, so it traps that, too, unless the user does.
 */
const stopBash = `__sidecar_got=$?
${take('builtin', '>>')}
__sidecar_trap=
{ builtin trap -p INT >|"$__sidecar_at" && IFS= builtin read -r -d '' __sidecar_trap <"$__sidecar_at"; } || builtin :
case $__sidecar_trap in *__sidecar_stop*|'trap -- - '*) __sidecar_trap= ;; esac
if ((\${#BASH_LINENO[@]} <= __sidecar_depth)); then builtin :
elif builtin [ "$__sidecar_was" = 1 ] && builtin [ "$__sidecar_trap" ]; then
__sidecar_on=2 __sidecar_trap=\${__sidecar_trap#trap -- }
builtin eval "builtin eval \${__sidecar_trap% *}"
else
__sidecar_flags=$-
builtin set +e
{ builtin trap -p DEBUG; builtin shopt -p extdebug; } >|"$__sidecar_at"
IFS= builtin read -r -d '' __sidecar_debug <"$__sidecar_at"
builtin shopt -s extdebug
builtin trap 'if ((\${#BASH_LINENO[@]} > __sidecar_depth)); then builtin [ 2>/dev/null; else builtin eval "$__sidecar_resume"; fi' DEBUG
builtin return 130
fi
fi
fi
`;
const resumeBash = `builtin trap - DEBUG
builtin eval "$__sidecar_debug"
for __sidecar_flag in E T; do case $__sidecar_flags in *$__sidecar_flag*) builtin set -$__sidecar_flag ;; esac; done
builtin :
`;
const acceptBash = `__sidecar_depth=\${#BASH_LINENO[@]} __sidecar_stop=${quote(stopBash)} __sidecar_resume=${quote(resumeBash)}
builtin trap 'builtin eval "$__sidecar_stop"' URG
builtin trap -p INT >|"$__sidecar_traps"
__sidecar_trap=
IFS= builtin read -r -d '' __sidecar_trap <"$__sidecar_traps" || builtin :
case $__sidecar_trap in (''|'trap -- - '*) builtin trap 'builtin eval "$__sidecar_stop"' INT ;; esac
`;

/**
 * By an error in the trap, which `command` keeps from ending the shell. A subshell would not show the traps of the shell, so a file does.
 * After the first such error dash gives every command that a trap interrupts the status of that time, so the first one comes at a status of 0.
 */
const stopSh = `__sidecar_got=$?
${take('command', '>>')}
if command [ "$__sidecar_was" = 1 ]; then
command trap >|"$__sidecar_at"
while IFS= command read -r __sidecar_line; do case $__sidecar_line in *" INT") __sidecar_on=2 ;; esac; done <"$__sidecar_at"
fi
if command [ "$__sidecar_on" ]; then command kill -INT $$; else
__sidecar_flags=$-
set +e
exec 2>/dev/null
command unset -v __sidecar_none
: "\${__sidecar_none:?}"
fi
fi
fi
`;
const acceptSh = `__sidecar_stop=${quote(stopSh)}
case \${BASH_VERSION-} in (?*) command eval ${quote(acceptBash)} ;; (*)
command [ "\${__sidecar_first-}" = $$ ] || {
__sidecar_first=$$
command unset -v __sidecar_none
command trap ': "\${__sidecar_none:?}"' URG
command eval 'command kill -URG $$' 2>/dev/null
}
command trap 'eval "$__sidecar_stop"' URG ;;
esac
`;

/** SIGINT is caught only where the user traps it (proc(5), SigCgt). */
const zshCatches = `[[ -r /proc/$$/status && "$(</proc/$$/status)" == *[2367abef]$'\\n'CapInh* ]]`;

const debugZsh = `TRAPDEBUG() {
__sidecar_got=$?
if (( \${#funcstack[@]} > __sidecar_depth + 1 )); then
__sidecar_leave && [[ $__sidecar_on ]] || builtin return 130
fi
builtin unset -f TRAPDEBUG
builtin return 0
}`;

/**
 * By the status of a trap (zshmisc(1), TRAPNAL): a DEBUG trap leaves one function or file after the other. Where zsh
 * sleeps, which a file says, the trap of the signal begins with that, as a list continues after a program without a DEBUG
 * trap. Else it only sets the DEBUG trap: it runs within whatever zsh is at, where a builtin prints once more what the
 * command was just printing, and a status is lost, or taken for that of the file around. errexit is turned off without
 * a builtin, and not in the DEBUG trap, behind which it is as before. A subshell that SIGINT ends as it begins exits
 * with 255.
 */
const acceptZsh = `__sidecar_depth=\${#funcstack[@]} __sidecar_line=\${options[errexit]}
__sidecar_leave() {
[[ $__sidecar_got != 255 ]] || __sidecar_got=130
${take('builtin', '>>|')}
if [[ $__sidecar_was == *trap* ]]; then
__sidecar_on=2
builtin kill -INT $$
else
builtin return 1
fi
fi
fi
builtin return 0
}
TRAPURG() {
__sidecar_got=$?
case $__sidecar_on in
('') builtin return 0 ;;
(1) if ${zshCatches}; then __sidecar_on=trap; else __sidecar_on=told; fi ;;
(2) __sidecar_on=told ;;
esac
[[ $__sidecar_on == trap ]] || { __sidecar_flags+=$- options[errexit]=off; }
if [[ -e \${__sidecar_traps%traps}${sleepsFile} ]] && (( \${#funcstack[@]} > __sidecar_depth + 1 )); then
__sidecar_leave && builtin return 0
${debugZsh}
builtin return 130
fi
${debugZsh}
}
`;

const shells: { readonly [K in 'bash' | 'zsh' | 'sh']: Posix } = {
  bash: {
    flags: ['--norc', '--noprofile', '-O', 'expand_aliases'], builtin: 'builtin', append: '>>', descriptor: 99,
    // Of two redirections of one descriptor bash keeps what the first one opened until both are undone.
    fifo: { open: opened, end: nothing, redirect: '<&$__sidecar_in-', close: { after: closed, instead: closed } },
    interrupts: { accept: acceptBash, around: (run) => run },
  },
  sh: {
    flags: [], builtin: 'command', append: '>>', descriptor: 9,
    fifo: { open: () => '{\n', end: (path) => `} <>${path} <${path}\n`, redirect: '', close: { after: '', instead: '' } },
    interrupts: { accept: acceptSh, around: (run) => `command eval ${quote(run)}\n` },
  },
  zsh: {
    flags: ['-f', '-o', 'aliases'], builtin: 'builtin', append: '>>|', descriptor: 9,
    // zshmisc(1), MULTIOS: two redirections of one descriptor would be read one after the other.
    fifo: { open: opened, end: nothing, redirect: '<&$__sidecar_in {__sidecar_in}<&-', close: { after: '', instead: closed } },
    interrupts: {
      accept: acceptZsh,
      around: (run) => `{ {
${run}} always { __sidecar_line=; } } always {
case $__sidecar_on in (1|2|trap) ;; (*) TRY_BLOCK_ERROR=0 TRY_BLOCK_INTERRUPT=0 ;; esac
}
`,
    },
  },
};

export const posix: { readonly [K in 'bash' | 'zsh' | 'sh']: Dialect } = { bash: dialect(shells.bash), zsh: dialect(shells.zsh), sh: dialect(shells.sh) };

function dialect(shell: Posix): Dialect {
  const { flags, builtin, descriptor } = shell;
  return {
    argv: (program, control) => [program, ...flags, control],
    begin: (control, environment) => `exec ${descriptor}<>${quote(control)} >/dev/null 2>&1; ${builtin} . ${quote(environment)}`,
    exports: (variables) => assignments(variables).map((word) => `${builtin} export ${quote(word)}\n`).join(''),
    source: (runFile) => `${builtin} . ${quote(runFile)}\n${builtin} eval "\${__sidecar_end-}"`,
    run: (job) => runFile(shell, job),
    interrupt: 'SIGURG',
  };
}

/**
 * With job control (`set -m`) bash leaves all that it is in where a program of a loop ends by SIGINT, and reads its
 * next line: what is left of this file is then done by that line, see {@link Dialect.source}.
 */
function runFile(shell: Posix, job: ShellJob): string {
  const { directory, id, claim: line, stdin, bootstrap: path } = job;
  const { builtin, descriptor, fifo, interrupts } = shell;
  const file = (name: string): string => quote(`${directory}/${name}`);
  const claim = quote(line);
  const isFifo = stdin === 'fifo';
  const redirect = isFifo ? fifo.redirect : `<${stdin === 'file' ? file('stdin') : '/dev/null'}`;
  const { after, instead } = isFifo ? fifo.close : { after: '', instead: '' };
  const run = `${path === undefined ? '' : bootstrap(shell, path, file('stderr'))}if ${builtin} [ "$__sidecar_on" ]; then
__sidecar=130
${builtin} . ${file('command')} ${redirect} >>${file('stdout')} 2>>${file('stderr')} ${descriptor}>&-
__sidecar=$?
fi
`;
  const end = `__sidecar_end=
${builtin} [ "$__sidecar_on" ] || __sidecar=$__sidecar_code
__sidecar_on=
${after}${exit(shell, job)}case $__sidecar_flags in *e*) ${builtin} set -e ;; esac
`;
  return `${isFifo ? fifo.open(file('stdin')) : ''}__sidecar_on=1 __sidecar_code=130 __sidecar=130 __sidecar_flags= __sidecar_traps=${file('traps')}
${interrupts.accept}${builtin} echo ${claim} >>${file('process')}
IFS= ${builtin} read -r __sidecar_line <${file('process')}
if ${builtin} [ "$__sidecar_line" = ${claim} ]; then
${builtin} export SIDECAR_JOB_ID=${quote(id)}
__sidecar_end=${quote(end)}
${interrupts.around(run)}${builtin} eval "$__sidecar_end"
else
__sidecar_on=
${instead}fi
${isFifo ? fifo.end(file('stdin')) : ''}`;
}

/**
 * Tells the exit code, through nothing that the job may have put in the place of its files. What cannot be told in the
 * directory of the job, as that is gone or the disk is full, is told in that of the shell; else the shell ends, and
 * that tells it.
 */
function exit({ builtin, append }: Posix, { directory, id, shell }: ShellJob): string {
  const tell = (folders: readonly string[], file: string): string => {
    const is = (test: string): string => `${builtin} [ ${test} ${quote(file)} ]`;
    return `{ ${folders.map((folder) => isFolder(builtin, quote(folder))).join(' && ')} &&
{ { ${is('-f')} && ! ${is('-h')} && ! ${is('-s')}; } || /bin/rm -rf -- ${quote(file)}; } &&
${builtin} echo "$__sidecar" ${append}${quote(file)}; }`;
  };
  return `${tell([directory], `${directory}/exit`)} ||
${tell([dirname(shell), shell], `${shell}/${toldFile(id)}`)} ||
${builtin} exit "$__sidecar"
`;
}

/** @param path As a word of the shell's. */
function isFolder(builtin: string, path: string): string {
  return `${builtin} [ -d ${path} ] && ! ${builtin} [ -h ${path} ]`;
}

/** What it prints is for whoever looks for a fault: the stdout of the job is that of its command alone. */
function bootstrap({ builtin, descriptor }: Posix, path: string, stderr: string): string {
  return `${builtin} . ${quote(path)} </dev/null >>${stderr} 2>&1 ${descriptor}>&-
__sidecar=$?
if ${builtin} [ "$__sidecar" != 0 ]; then ${builtin} echo "${bootstrapFailed} $__sidecar" >>${stderr}; fi
`;
}
