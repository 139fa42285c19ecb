/**
 * bash, zsh and sh. All commands of our own are called by `builtin` or `command`, as a job may have defined functions
 * with their names.
 * @module
 */
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { quote } from '../../base/text/shell-word.ts';
import { assignments } from '../../process/environment/shell-variables.ts';
import {
  bootstrapFailed, type Dialect, interruptsFile, forcedStopFile, type ShellJob, sleepsFile, fallbackExitFile,
} from './dialect.ts';

/** What differs between bash(1), zsh(1) and dash(1). */
interface Posix {
  readonly flags: readonly string[];
  /** Calls a builtin despite functions of its name. dash: also keeps errors of special ones from ending the shell. */
  readonly builtin: string;
  /** Appends to a file, and creates it if it is missing, even after `set -C`. */
  readonly append: '>>' | '>>|';
  /** The descriptor of the control. dash takes one digit only; a higher number leaves the digits to the user. */
  readonly descriptor: number;
  /**
   * Opens the FIFO for the command's stdin before the job is claimed: calls that see the claim may write. The command
   * reads the end of the FIFO only if the shell itself does not have it open for writing.
   */
  readonly fifo: {
    /** Around the whole run file: a beginning, and an end with the path of the FIFO. */
    readonly open: (path: string) => string;
    readonly end: (path: string) => string;
    /** The redirection of the command. */
    readonly redirect: string;
    /** After the command, and in place of it where it is not run. */
    readonly close: { readonly after: string; readonly instead: string };
  };
  /** How a command is stopped that runs in the shell itself. */
  readonly interrupts: {
    /** Makes the shell act on the signal, before the job is claimed. */
    readonly accept: string;
    /** Around what runs the command: an interrupt stops there. */
    readonly around: (run: string) => string;
  };
}

/** Opened for both, which never waits, and then for reading alone, which does not wait any more. */
const openForReading = (path: string): string =>
  `exec {__sidecar_hold}<>${path} {__sidecar_in}<${path} {__sidecar_hold}>&-\n`;
const noCode = (): string => '';
const closeInput = 'exec {__sidecar_in}<&-\n';

/*
 * A job is interrupted by a signal that the shell traps, so that the shell is never killed by it, as it would be by
 * SIGINT. The trap leaves every function, loop and file that the command is in. `__sidecar_on` is empty when there is
 * no command to stop, 1 before and 2 after a SIGINT trap of the user was run: such a command continues after the first
 * interrupt, as it would at a terminal. `__sidecar_code` is the exit code of a stopped command: that of the program
 * that its SIGINT ended, else 130.
 */

/** The exit code of a stopped command; 130 replaces the status of an interrupted `read`, `wait` or loop. */
const setStoppedCode = `case $__sidecar_got in (0|1|${128 + (constants.signals.SIGURG ?? 0)}) __sidecar_code=130 ;; `
  + '(*) __sidecar_code=$__sidecar_got ;; esac';

/**
 * The beginning of a trap. A trap may run again in the middle of itself: only one run takes the command, from
 * `__sidecar_on` to `__sidecar_was`. Then it tells the server that the interrupt has reached the shell. It does not
 * write through a link, nor to a FIFO, that the job has put in the place of its files or its directory: if the
 * directory was replaced, `__sidecar_at` is /dev/null.
 */
const takeCommand = (builtin: string, append: Posix['append']): string => `if ${builtin} [ "$__sidecar_on" ]; then
__sidecar_was=$__sidecar_on __sidecar_on=
if ${builtin} [ "$__sidecar_was" ]; then
__sidecar_at=/dev/null
if ${isFolder(builtin, '"${__sidecar_traps%/traps}"')}; then
__sidecar_at=$__sidecar_traps
for __sidecar_file in "$__sidecar_traps" "\${__sidecar_traps%traps}${interruptsFile}"; do
if ${builtin} [ -h "$__sidecar_file" ] ||
{ ${builtin} [ -e "$__sidecar_file" ] && ! ${builtin} [ -f "$__sidecar_file" ]; }
then /bin/rm -rf -- "$__sidecar_file"; fi
done
if ${builtin} [ -e "\${__sidecar_traps%traps}${forcedStopFile}" ]; then __sidecar_was=2; fi
${builtin} echo 2>/dev/null ${append}"\${__sidecar_traps%traps}${interruptsFile}" || ${builtin} :
fi
${setStoppedCode}`;

/**
 * Stops a command in bash by `return`, and by a DEBUG trap that leaves one function or file after another (bash(1),
 * extdebug): without a terminal nothing else stops the command and keeps bash running. `builtin [` alone has status 2,
 * which makes bash return. With `set -e` that would end the shell.
 *
 * bash sends itself SIGINT when SIGINT has ended a command substitution, so SIGINT is trapped, too, unless the user
 * traps it.
 */
const stopBash = `__sidecar_got=$?
${takeCommand('builtin', '>>')}
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
builtin trap 'if ((\${#BASH_LINENO[@]} > __sidecar_depth)); then builtin [ 2>/dev/null
else builtin eval "$__sidecar_resume"; fi' DEBUG
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
const acceptBash =
  `__sidecar_depth=\${#BASH_LINENO[@]} __sidecar_stop=${quote(stopBash)} __sidecar_resume=${quote(resumeBash)}
builtin trap 'builtin eval "$__sidecar_stop"' URG
builtin trap -p INT >|"$__sidecar_traps"
__sidecar_trap=
IFS= builtin read -r -d '' __sidecar_trap <"$__sidecar_traps" || builtin :
case $__sidecar_trap in (''|'trap -- - '*) builtin trap 'builtin eval "$__sidecar_stop"' INT ;; esac
`;

/**
 * Stops a command in sh by an error in the trap, which `command` keeps from ending the shell. The traps are listed into
 * a file, as a subshell would not show those of the shell. After the first such error dash gives every command that a
 * trap interrupts the status of that time, so the first error is made at a status of 0.
 */
const stopSh = `__sidecar_got=$?
${takeCommand('command', '>>')}
if command [ "$__sidecar_was" = 1 ]; then
command trap >|"$__sidecar_at"
while IFS= command read -r __sidecar_line; do
case $__sidecar_line in *" INT") __sidecar_on=2 ;; esac
done <"$__sidecar_at"
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

/** Whether zsh catches SIGINT, which it does only where the user traps it (proc(5), SigCgt). */
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
 * Stops a command in zsh by the status of a trap (zshmisc(1), TRAPNAL): a DEBUG trap leaves one function or file after
 * another. Where zsh sleeps, as a file tells it, the signal's trap leaves the first one, as a list continues after a
 * program without a DEBUG trap. Otherwise it only sets the DEBUG trap: the signal's trap runs in the middle of what zsh
 * is doing, where a builtin prints again what the command was just printing, and a status is lost, or taken for that of
 * the surrounding file. errexit is turned off without a builtin, and not in the DEBUG trap, after which it is as
 * before. A subshell that SIGINT ends as it begins exits with 255.
 */
const acceptZsh = `__sidecar_depth=\${#funcstack[@]} __sidecar_line=\${options[errexit]}
__sidecar_leave() {
[[ $__sidecar_got != 255 ]] || __sidecar_got=130
${takeCommand('builtin', '>>|')}
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
    // If one descriptor is redirected twice, bash keeps what the first redirection opened until both are undone.
    fifo: {
      open: openForReading, end: noCode, redirect: '<&$__sidecar_in-',
      close: { after: closeInput, instead: closeInput },
    },
    interrupts: { accept: acceptBash, around: (run) => run },
  },
  sh: {
    flags: [], builtin: 'command', append: '>>', descriptor: 9,
    fifo: {
      open: () => '{\n', end: (path) => `} <>${path} <${path}\n`, redirect: '', close: { after: '', instead: '' },
    },
    interrupts: { accept: acceptSh, around: (run) => `command eval ${quote(run)}\n` },
  },
  zsh: {
    flags: ['-f', '-o', 'aliases'], builtin: 'builtin', append: '>>|', descriptor: 9,
    // zshmisc(1), MULTIOS: two redirections of one descriptor would be read one after another.
    fifo: {
      open: openForReading, end: noCode, redirect: '<&$__sidecar_in {__sidecar_in}<&-',
      close: { after: '', instead: closeInput },
    },
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

export const posix: { readonly [K in 'bash' | 'zsh' | 'sh']: Dialect } = {
  bash: dialect(shells.bash), zsh: dialect(shells.zsh), sh: dialect(shells.sh),
};

function dialect(shell: Posix): Dialect {
  const { flags, builtin, descriptor } = shell;
  return {
    argv: (program, control) => [program, ...flags, control],
    begin: (control, environment) =>
      `exec ${descriptor}<>${quote(control)} >/dev/null 2>&1; ${builtin} . ${quote(environment)}`,
    exports: (variables) => assignments(variables).map((word) => `${builtin} export ${quote(word)}\n`).join(''),
    source: (runFile) => `${builtin} . ${quote(runFile)}\n${builtin} eval "\${__sidecar_end-}"`,
    run: (job) => createRunFile(shell, job),
    interrupt: 'SIGURG',
  };
}

/**
 * With job control (`set -m`), where SIGINT ends a program of a loop, bash leaves all that it is in, and reads its next
 * line: that line then does what is left of this file, see {@link Dialect.source}.
 */
function createRunFile(shell: Posix, job: ShellJob): string {
  const { directory, id, claim: line, stdin, bootstrap: path } = job;
  const { builtin, descriptor, fifo, interrupts } = shell;
  const file = (name: string): string => quote(`${directory}/${name}`);
  const claim = quote(line);
  const isFifo = stdin === 'fifo';
  const redirect = isFifo ? fifo.redirect : `<${stdin === 'file' ? file('stdin') : '/dev/null'}`;
  const { after, instead } = isFifo ? fifo.close : { after: '', instead: '' };
  const run =
    `${path === undefined ? '' : runBootstrap(shell, path, file('stderr'))}if ${builtin} [ "$__sidecar_on" ]; then
__sidecar=130
${builtin} . ${file('command')} ${redirect} >>${file('stdout')} 2>>${file('stderr')} ${descriptor}>&-
__sidecar=$?
fi
`;
  const end = `__sidecar_end=
${builtin} [ "$__sidecar_on" ] || __sidecar=$__sidecar_code
__sidecar_on=
${after}${writeExit(shell, job)}case $__sidecar_flags in *e*) ${builtin} set -e ;; esac
`;
  const open = isFifo ? fifo.open(file('stdin')) : '';
  return `${open}__sidecar_on=1 __sidecar_code=130 __sidecar=130 __sidecar_flags= __sidecar_traps=${file('traps')}
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
 * Writes the exit code, through nothing that the job may have put in the place of its files. Where the job's directory
 * is gone or the disk is full, it is written in the shell's directory; where that fails, too, the shell ends with the
 * code.
 */
function writeExit({ builtin, append }: Posix, { directory, id, shell }: ShellJob): string {
  const tell = (folders: readonly string[], file: string): string => {
    const is = (test: string): string => `${builtin} [ ${test} ${quote(file)} ]`;
    return `{ ${folders.map((folder) => isFolder(builtin, quote(folder))).join(' && ')} &&
{ { ${is('-f')} && ! ${is('-h')} && ! ${is('-s')}; } || /bin/rm -rf -- ${quote(file)}; } &&
${builtin} echo "$__sidecar" ${append}${quote(file)}; }`;
  };
  return `${tell([directory], `${directory}/exit`)} ||
${tell([dirname(shell), shell], `${shell}/${fallbackExitFile(id)}`)} ||
${builtin} exit "$__sidecar"
`;
}

/** @param path A word in the shell's syntax. */
function isFolder(builtin: string, path: string): string {
  return `${builtin} [ -d ${path} ] && ! ${builtin} [ -h ${path} ]`;
}

/** The bootstrap prints to stderr, where its faults can be found: the job's stdout is that of its command alone. */
function runBootstrap({ builtin, descriptor }: Posix, path: string, stderr: string): string {
  return `${builtin} . ${quote(path)} </dev/null >>${stderr} 2>&1 ${descriptor}>&-
__sidecar=$?
if ${builtin} [ "$__sidecar" != 0 ]; then ${builtin} echo "${bootstrapFailed} $__sidecar" >>${stderr}; fi
`;
}
