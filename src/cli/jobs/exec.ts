/**
 * `sidecar exec`: runs a command on the server's machine as if it ran here.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { workdirOf } from '../workdir.ts';
import { secondsIn } from '../../base/duration.ts';
import type { ExecRequest, OutputWay } from '../../client/client.ts';
import { attach, exitCodeOf, patienceMs, tellEnd, writingFor } from '../follow-job.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { type Connection, connect } from '../connect.ts';
import { DetachKeys, defaultDetachKeys } from '../terminals/detach-keys.ts';
import { UsageError } from '../failure.ts';
import { inFlags } from '../flag-errors.ts';
import { type Interrupts, handleInterrupts, interruptedExitCode } from '../interrupts.ts';
import { printJson, printLine } from '../print.ts';
import { forwardStdin, hasStdin } from '../stdin.ts';
import { attachTty } from './tty-job.ts';
import { bytes, newKey, pairs, seconds, variables } from '../values.ts';
import { windowSize } from '../terminals/window.ts';

const options = {
  shell: {
    type: 'string', value: 'SHELL',
    description: 'Run the command by this shell instead of the default of the server: sh, zsh, a path',
  },
  session: {
    type: 'string', value: 'KEY',
    description: 'Run it in the persistent shell of that key; see "sidecar shell"',
  },
  'require-shell': {
    type: 'boolean',
    description: 'With --session: only in the shell that earlier commands have used; fail where it has ended',
  },
  argv: { type: 'boolean', description: 'No shell even for a single argument: it is the name of a program' },
  workdir: {
    type: 'string', short: 'C', value: 'DIR',
    description: 'Where it runs. Default: here for the local server, else where the server runs',
  },
  env: {
    type: 'string', short: 'e', multiple: true, value: 'NAME[=VALUE]',
    description: 'Laid over the environment of the server; without =VALUE that of here is passed on. May be repeated',
  },
  interactive: {
    type: 'boolean', short: 'i',
    description: 'Forward stdin until its end; that is so anyway, unless -n or -d says otherwise',
  },
  tty: {
    type: 'boolean', short: 't',
    description: 'Give it a terminal, as large as the window; every key goes to it, Ctrl-C too',
  },
  'detach-keys': {
    type: 'string', value: 'KEYS',
    description: `With -t: what leaves the job: ctrl-a, or several as ctrl-p,ctrl-q. Default: ${defaultDetachKeys}`,
  },
  timeout: { type: 'string', value: 'TIME', description: 'End it after that time: 90, 5m, 1h. Default: none' },
  'kill-grace': {
    type: 'string', value: 'TIME',
    description: 'Between SIGTERM and SIGKILL when it is ended. Default: 5',
  },
  output: {
    type: 'string', value: 'WAY',
    description: 'pipe: for a program that opens /dev/stdout or /dev/stderr again; file: never. Default: decided by'
      + ' what it names',
  },
  'max-output-bytes': {
    type: 'string', value: 'BYTES',
    description: 'End it when it writes more: 4096, 10M. Default: 1G',
  },
  name: { type: 'string', value: 'NAME', description: 'To find it again' },
  label: { type: 'string', multiple: true, value: 'NAME=VALUE', description: 'To find it again; may be repeated' },
  detach: {
    type: 'boolean', short: 'd',
    description: 'Print the id of the job and leave; its stdin stays open for nudges',
  },
  'no-stdin': { type: 'boolean', short: 'n', description: 'Give it an empty stdin' },
  json: { type: 'boolean', description: 'Print the finished job as JSON instead of its output; with -d, the answer' },
} as const;

export const command: Command = defineCommand({
  name: 'exec',
  summary: 'Run a command as a job, as if it ran here',
  usage: ['exec [flags] [--] COMMAND', 'exec [flags] [--] PROGRAM ARGUMENT…'],
  about: `One argument is a text for the shell; several are a program and its arguments, passed on exactly as they are.
Output comes as it is written, stdin is forwarded, and the exit code is the job's (128+n for signal n, 124 at
--timeout).
Ctrl-C interrupts the job, a second one cancels it, a third leaves it alone. A server that restarts meanwhile loses
nothing.
With -t the job has a terminal: stdout and stderr are one, Ctrl-C is a key like any other, and Ctrl-] leaves the job,
which continues.
-i, -t and -it are there as docker and ssh have them: stdin is forwarded with or without -i.`,
  options,
  settings: connectionSettings,
  arity: { min: 1, max: Infinity },
  endsAtArgument: true,
  examples: [
    { line: "sidecar exec 'make test 2>&1 | tail -20'", what: 'a text for the shell' },
    { line: 'sidecar exec -- grep -rn "two words" src', what: 'a program and its arguments: no quoting trouble' },
    {
      line: "sidecar exec --session build 'cd sub && make'",
      what: 'in a shell that stays: the next command is in sub',
    },
    { line: 'tar c . | sidecar exec -C /srv/app -- tar x', what: 'stdin goes along' },
    { line: 'sidecar exec -it -- python3', what: 'a program that wants a terminal' },
    { line: 'sidecar exec -d --name build --timeout 1h make', what: 'leave it running; prints its id' },
  ],
  run,
});

async function run(invocation: Invocation<Values<typeof options>>): Promise<number> {
  try {
    return await execute(invocation);
  } catch (error) {
    throw inFlags(error, givenAs, 'exec');
  }
}

/** Fields of the request, and where the user gives them. */
const givenAs: { readonly [field: string]: string } = {
  command: 'the command', argv: 'the command', workdir: '--workdir', env: '--env', labels: '--label', name: '--name',
  shell: '--shell', sessionKey: '--session', requireShell: '--require-shell', tty: '--tty', output: '--output',
  timeout: '--timeout', killGrace: '--kill-grace', maxOutputBytes: '--max-output-bytes',
};

async function execute(invocation: Invocation<Values<typeof options>>): Promise<number> {
  const { values, config } = invocation;
  checkInput(invocation);
  const detachKeys = values.tty === true ? new DetachKeys(values['detach-keys'] ?? defaultDetachKeys) : undefined;
  const connection = await connect(config, { reconnectMs: patienceMs });
  const isAttached = values.detach !== true;
  const isStdinForwarded = isAttached && values['no-stdin'] !== true && hasStdin();
  const hasEmptyStdin = values['no-stdin'] === true || (isAttached && !isStdinForwarded);
  const request = { ...requestOf(invocation, connection), ...(hasEmptyStdin ? { stdin: null } : {}) };
  if (!isAttached) return detach(connection, request, values.json === true);
  const interrupts = handleInterrupts();
  try {
    return await (values.json === true ? report : stream)(connection, request, {
      interrupts, isStdinForwarded, detachKeys,
    });
  } catch (error) {
    if (interrupts.leaving.aborted) return interruptedExitCode;
    throw error;
  } finally {
    interrupts.close();
  }
}

/** @throws UsageError */
function checkInput({ values, args }: Invocation<Values<typeof options>>): void {
  const [first = ''] = args;
  const conflict = values['no-stdin'] === true ? '-n' : '-d';
  if (values.interactive === true && (values['no-stdin'] === true || values.detach === true)) {
    throw new UsageError(`Cannot use -i with ${conflict}: nothing would be forwarded`, 'exec');
  }
  if (values.tty === true && args.length > 1 && secondsIn(first) !== undefined) {
    throw new UsageError(
      `Cannot run a program called "${first}": -t gives a terminal; for a time limit write --timeout ${first}`, 'exec',
    );
  }
}

function requestOf({ values, args, config }: Invocation<Values<typeof options>>, connection: Connection): ExecRequest {
  const [first = ''] = args;
  const isArgv = values.argv === true || args.length > 1;
  if (isArgv && values.shell !== undefined) {
    throw new UsageError('Cannot use --shell with several arguments: give the command as one, in quotes', 'exec');
  }
  if (first === '') throw new UsageError('The command is empty', 'exec');
  if (values.session !== undefined && isArgv) {
    throw new UsageError(
      'Cannot use --session with several arguments or --argv: give the command as one, in quotes', 'exec',
    );
  }
  if (values['require-shell'] === true && values.session === undefined) {
    throw new UsageError('Cannot use --require-shell without --session', 'exec');
  }
  const workdir = workdirOf(values.workdir, connection.isLocal);
  return {
    ...programOf(args, { isArgv, sessionKey: values.session, mustRequire: values['require-shell'] === true }),
    timeout: values.timeout === undefined ? null : seconds(values.timeout, 'timeout'),
    ...defined({
      shell: values.shell,
      workdir,
      env: variables(values.env, config.jobEnvironment),
      labels: pairs(values.label, 'label'),
      name: values.name,
      output: outputWayOf(values.output),
      tty: values.tty === true ? windowSize() ?? true : undefined,
      killGrace: values['kill-grace'] === undefined ? undefined : seconds(values['kill-grace'], 'kill-grace'),
      maxOutputBytes: values['max-output-bytes'] === undefined
        ? undefined
        : bytes(values['max-output-bytes'], 'max-output-bytes'),
    }),
  };
}

/** @throws UsageError */
function outputWayOf(value: string | undefined): OutputWay | undefined {
  if (value === undefined || value === 'file' || value === 'pipe') return value;
  throw new UsageError(`Cannot use --output ${value}: expected file or pipe`, 'exec');
}

interface ProgramFlags {
  readonly isArgv: boolean;
  readonly sessionKey: string | undefined;
  /** The command fails unless the shell that earlier commands have used still runs. */
  readonly mustRequire: boolean;
}

function programOf(args: readonly string[], { isArgv, sessionKey, mustRequire }: ProgramFlags): ExecRequest {
  const [command = ''] = args;
  if (isArgv) return { mode: 'argv', argv: args };
  if (sessionKey === undefined) return { mode: 'shell', command };
  return { mode: 'persistent_shell', sessionKey, command, ...(mustRequire ? { requireShell: true } : {}) };
}

async function detach({ sidecar }: Connection, request: ExecRequest, isJson: boolean): Promise<number> {
  const accepted = await sidecar.exec(request, { idempotencyKey: newKey() });
  await writingFor(accepted.jobId, () => (isJson ? printJson(accepted) : printLine(accepted.jobId)));
  return 0;
}

interface Attachment {
  readonly interrupts: Interrupts;
  readonly isStdinForwarded: boolean;
  /** Set for a job with a terminal. */
  readonly detachKeys: DetachKeys | undefined;
}

async function stream({ sidecar }: Connection, request: ExecRequest, attachment: Attachment): Promise<number> {
  const signal = attachment.interrupts.leaving;
  const { jobId } = await sidecar.exec(request, { idempotencyKey: newKey(), signal });
  const { detachKeys } = attachment;
  const { mode = 'shell' } = request;
  return detachKeys
    ? attachTty(sidecar, jobId, { ...attachment, detachKeys })
    : attach(sidecar, jobId, { ...attachment, mode });
}

async function report(
  { sidecar }: Connection, request: ExecRequest, { interrupts, isStdinForwarded }: Attachment,
): Promise<number> {
  const job = await sidecar.run(request, {
    signal: interrupts.leaving,
    onAccepted: ({ jobId }) => {
      interrupts.aim(sidecar, jobId);
      if (isStdinForwarded) void forwardStdin(sidecar, jobId, interrupts);
    },
  });
  await writingFor(job.jobId, () => printJson(job));
  tellEnd(job);
  return exitCodeOf(job);
}
