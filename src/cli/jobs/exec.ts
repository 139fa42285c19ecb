/**
 * `sidecar exec`: runs a command on the server's machine as if it ran here.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { secondsIn } from '../../base/text/duration.ts';
import type { ExecRequest, OutputWay } from '../../client/client.ts';
import { attach, exitCodeOf, reconnectTimeoutMs, printEnd, withJobHint } from '../follow/follow-job.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { type Connection, connect } from '../connect.ts';
import { DetachKeys, defaultDetachKeys, detachKeysForm, detachKeysOption } from '../terminals/detach-keys.ts';
import { UsageError } from '../failure.ts';
import { toFlagError } from '../flag-error.ts';
import { type Interrupts, withInterrupts } from '../follow/interrupts.ts';
import { sharedOptions } from '../options.ts';
import { printJson, printLine } from '../io/print.ts';
import { processFields } from '../process-fields.ts';
import { forwardStdin, hasStdin } from '../follow/stdin.ts';
import { attachTty } from './tty-job.ts';
import { bytes, newKey, optional, seconds } from '../values.ts';
import { windowSize } from '../terminals/terminal-window.ts';

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
  workdir: sharedOptions.workdir,
  env: sharedOptions.env,
  interactive: {
    type: 'boolean', short: 'i',
    description: 'Forward stdin until its end; that is so anyway, unless -n or -d says otherwise',
  },
  tty: {
    type: 'boolean', short: 't',
    description: 'Give it a terminal, as large as the window; every key goes to it, Ctrl-C too',
  },
  'detach-keys': { ...detachKeysOption, description: `With -t: what leaves the job: ${detachKeysForm}` },
  timeout: sharedOptions.timeout,
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
  name: sharedOptions.name,
  label: sharedOptions.label,
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
    throw toFlagError(error, flagNames, 'exec');
  }
}

/** Fields of the request, and where the user gives them. */
const flagNames: { readonly [field: string]: string } = {
  command: 'the command', argv: 'the command', workdir: '--workdir', env: '--env', labels: '--label', name: '--name',
  shell: '--shell', sessionKey: '--session', requireShell: '--require-shell', tty: '--tty', output: '--output',
  timeout: '--timeout', killGrace: '--kill-grace', maxOutputBytes: '--max-output-bytes',
};

async function execute(invocation: Invocation<Values<typeof options>>): Promise<number> {
  const { values, config } = invocation;
  checkFlags(invocation);
  const detachKeys = values.tty === true ? new DetachKeys(values['detach-keys'] ?? defaultDetachKeys) : undefined;
  const connection = await connect(config, { reconnectMs: reconnectTimeoutMs });
  const isAttached = values.detach !== true;
  const isStdinForwarded = isAttached && values['no-stdin'] !== true && hasStdin();
  const hasEmptyStdin = values['no-stdin'] === true || (isAttached && !isStdinForwarded);
  const request = { ...requestOf(invocation, connection), ...(hasEmptyStdin ? { stdin: null } : {}) };
  if (!isAttached) return detach(connection, request, values.json === true);
  const show = values.json === true ? printJob : streamJob;
  return withInterrupts((interrupts) => show(connection, request, { interrupts, isStdinForwarded, detachKeys }));
}

/** @throws UsageError */
function checkFlags({ values, args }: Invocation<Values<typeof options>>): void {
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
  return {
    ...programOf(args, { isArgv, sessionKey: values.session, mustRequire: values['require-shell'] === true }),
    timeout: optional(seconds, values.timeout, 'timeout') ?? null,
    ...processFields(values, { isLocal: connection.isLocal, environment: config.jobEnvironment }),
    ...defined({
      shell: values.shell,
      output: outputWayOf(values.output),
      tty: values.tty === true ? windowSize() ?? true : undefined,
      killGrace: optional(seconds, values['kill-grace'], 'kill-grace'),
      maxOutputBytes: optional(bytes, values['max-output-bytes'], 'max-output-bytes'),
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
  await withJobHint(accepted.jobId, () => (isJson ? printJson(accepted) : printLine(accepted.jobId)));
  return 0;
}

interface AttachedOptions {
  readonly interrupts: Interrupts;
  readonly isStdinForwarded: boolean;
  /** Set for a job with a terminal. */
  readonly detachKeys: DetachKeys | undefined;
}

async function streamJob({ sidecar }: Connection, request: ExecRequest, attachment: AttachedOptions): Promise<number> {
  const signal = attachment.interrupts.leaving;
  const { jobId } = await sidecar.exec(request, { idempotencyKey: newKey(), signal });
  const { detachKeys } = attachment;
  const { mode = 'shell' } = request;
  return detachKeys
    ? attachTty(sidecar, jobId, { ...attachment, detachKeys })
    : attach(sidecar, jobId, { ...attachment, mode });
}

async function printJob(
  { sidecar }: Connection, request: ExecRequest, { interrupts, isStdinForwarded }: AttachedOptions,
): Promise<number> {
  const job = await sidecar.run(request, {
    signal: interrupts.leaving,
    onAccepted: ({ jobId }) => {
      interrupts.setTarget(sidecar, jobId);
      if (isStdinForwarded) void forwardStdin(sidecar, jobId, interrupts);
    },
  });
  await withJobHint(job.jobId, () => printJson(job));
  printEnd(job);
  return exitCodeOf(job);
}
