/**
 * `sidecar shell`: runs commands in a persistent shell, line by line.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { createInterface } from 'node:readline';
import { ProblemError, type Session, type Sidecar } from '../../client/client.ts';
import { reconnectTimeoutMs } from '../follow/follow-job.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { type Connection, connect } from '../connect.ts';
import { exitCodes } from '../failure.ts';
import { isIncomplete } from './incomplete.ts';
import { type Interrupts, withInterrupts } from '../follow/interrupts.ts';
import { sharedOptions } from '../options.ts';
import { isTyped, printMessage } from '../io/print.ts';
import { processFields } from '../process-fields.ts';
import { runRepl, exitLine } from './repl.ts';
import { type SessionRequest, runInShell } from './shell-job.ts';
import { hasStdin } from '../follow/stdin.ts';

const options = {
  command: { type: 'string', short: 'c', value: 'COMMAND', description: 'Only this one; stdin is forwarded to it' },
  shell: {
    type: 'string', value: 'SHELL',
    description: 'Which one: bash, zsh, sh, pwsh. Default: that of the session, or the best there is',
  },
  workdir: {
    ...sharedOptions.workdir,
    description: 'Where a new session starts. Default: here for the local server, else where the server runs',
  },
  env: {
    ...sharedOptions.env,
    description: 'The environment of a new session; without =VALUE that of here is passed on. May be repeated',
  },
  bootstrap: {
    type: 'string', value: 'COMMAND',
    description: 'Run in the shell each time that it starts, before the first command',
  },
} as const;

export const command: Command = defineCommand({
  name: 'shell',
  summary: 'Run commands in a persistent shell, line by line',
  usage: ['shell [flags] [KEY]', 'shell [flags] -c COMMAND [KEY]'],
  about: `KEY names the session; default "default". Its directory, variables, functions and background processes stay,
for the next command, for "sidecar exec --session KEY", and after restarts of the server. Each command is a job. A
command may have several lines; while one runs, what is typed is its input, and what it leaves unread is the next
command, as in a shell. Tab completes commands and files of the machine.
Ctrl-C ends the command that runs (a second one at once, a third leaves it alone). Ctrl-D and "exit" leave; the session
stays, see "sidecar sessions". Where stdin is no terminal its lines are the commands. Exits as the last command did.
It has no terminal: for programs that want one there is "sidecar terminal".`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: 1 },
  examples: [
    { line: 'sidecar shell', what: 'the session "default"' },
    {
      line: 'sidecar shell build --shell bash -C /srv/app --bootstrap ". venv/bin/activate"',
      what: 'one that begins where you want it',
    },
    { line: 'sidecar shell -c "cd sub && make" build', what: 'one command; the next one is in sub' },
    { line: 'sidecar shell build < steps.sh', what: 'the commands of a file' },
  ],
  run,
});

async function run(invocation: Invocation<Values<typeof options>>): Promise<number> {
  const { values, config } = invocation;
  const connection = await connect(config, { reconnectMs: reconnectTimeoutMs });
  const { sidecar } = connection;
  const session = sessionOf(invocation, connection);
  if (values.command !== undefined) return runOne(sidecar, session, values.command);
  if (!isTyped()) return runLines(sidecar, session);
  printSession(await findSession(sidecar, session.sessionKey), session.sessionKey, values);
  return runRepl(sidecar, session);
}

function sessionOf(
  { values, args: [key = 'default'], config }: Invocation<Values<typeof options>>, { isLocal }: Connection,
): SessionRequest {
  return {
    sessionKey: key,
    ...processFields({ workdir: values.workdir, env: values.env }, { isLocal, environment: config.jobEnvironment }),
    ...defined({ shell: values.shell, bootstrapCommand: values.bootstrap }),
  };
}

async function findSession(sidecar: Sidecar, key: string): Promise<Session | undefined> {
  try {
    return await sidecar.shells.get(key);
  } catch (error) {
    if (!(error instanceof ProblemError) || error.code !== 'session_not_found') throw error;
    return undefined;
  }
}

function printSession(session: Session | undefined, key: string, values: Values<typeof options>): void {
  const isSeeded = values.workdir !== undefined || values.env !== undefined;
  const state = session ? `${session.shell} as it was left` : 'a new one';
  printMessage(`session ${key}, ${state}; Ctrl-D leaves it, and it stays`);
  if (session && isSeeded) printMessage('--workdir and --env are for new sessions: this one is as it was');
}

async function runOne(sidecar: Sidecar, session: SessionRequest, text: string): Promise<number> {
  const isStdinForwarded = hasStdin();
  return withInterrupts((interrupts) => runInShell(sidecar, session, text, {
    interrupts, isStdinForwarded, ...(isStdinForwarded ? {} : { stdin: null }),
  }));
}

/** Runs stdin like a script: each command once it is complete; a failure does not end the script, an interrupt does. */
function runLines(sidecar: Sidecar, session: SessionRequest): Promise<number> {
  return withInterrupts((interrupts) => runCommands(sidecar, session, interrupts));
}

async function runCommands(sidecar: Sidecar, session: SessionRequest, interrupts: Interrupts): Promise<number> {
  let exitCode: number = exitCodes.ok;
  let isInterrupted = false;
  const interrupt = (): void => { isInterrupted = true; };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
  try {
    for await (const text of commandsIn(createInterface({ input: process.stdin, crlfDelay: Infinity }))) {
      const leaving = exitLine.exec(text);
      if (leaving) return leaving[1] === undefined ? exitCode : Number(leaving[1]) & 0xff;
      exitCode = await runInShell(sidecar, session, text, { interrupts, isStdinForwarded: false, stdin: null });
      if (isInterrupted) break;
    }
    return exitCode;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, interrupt);
    process.stdin.destroy();
  }
}

async function* commandsIn(lines: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  let text = '';
  for await (const line of lines) {
    text = text === '' ? line : `${text}\n${line}`;
    if (isIncomplete(text)) continue;
    if (text.trim() !== '') yield text;
    text = '';
  }
  if (text.trim() !== '') yield text;
}
