/**
 * `sidecar prompt`: gives an agent a prompt, and shows how it works on it.
 * @module
 */
import { type ConversationOptions, type Turn, runConversation, runTurn, turnOn } from './conversation.ts';
import { agentRequest, flagNames, promptWith, requestOptions } from './request.ts';
import { reconnectTimeoutMs, withJobHint } from '../follow/follow-job.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { type Connection, connect } from '../connect.ts';
import { UsageError } from '../failure.ts';
import { toFlagError } from '../flag-error.ts';
import { aboutJob, resolveJob } from '../job-ref.ts';
import { isTyped, painter, printJson, printLine } from '../io/print.ts';
import { readAll } from '../io/read-all.ts';
import { hasStdin } from '../follow/stdin.ts';

const options = {
  ...requestOptions,
  on: {
    type: 'string', value: 'JOB',
    description: 'Another prompt for the agent of a job; where that has ended, a new job continues its session',
  },
  interactive: { type: 'boolean', short: 'i', description: 'Then ask for the next prompt, until Ctrl-D' },
  detach: { type: 'boolean', short: 'd', description: 'Print the id of the job and leave' },
  quiet: { type: 'boolean', short: 'q', description: 'Print only the message of the agent' },
  json: { type: 'boolean', description: 'Print the job after the turn as JSON instead; with -d, the answer' },
} as const;

/** Flags that only a new job takes. */
const newJobFlags = Object.keys(requestOptions).filter((name) => name !== 'attach') as (keyof typeof requestOptions)[];

export const command: Command = defineCommand({
  name: 'prompt',
  summary: 'Have an agent do something, and watch it',
  usage: ['prompt [flags] [PROMPT…]', 'prompt [flags] --on JOB [PROMPT…]', 'prompt [flags] -i [PROMPT…]'],
  about: `The prompt is given as words, or on stdin (also as "-"). The message of the agent comes on stdout, as it is
written; tools, plans, changes of files and all else on stderr.
--permissions says what it may do within its directories: read (change nothing), edits (no commands), all (the
default), ask or deny. The same holds for what it asks permission for and for what it writes and runs through the
server without asking.
The first --rule that fits decides, else --permissions; in a command * stands for no character that means something to
a shell, in a path for one name.
What it asks (--permissions ask, decide=ask) is asked here where stdin is a terminal, and can be answered elsewhere by
"sidecar permissions".
Ctrl-C cancels the turn, a second one the job, a third leaves it alone.
Exits with 0 when the turn came to its end, 130 when Ctrl-C cancelled it, 124 at --timeout and --lifetime, else with 1.
${aboutJob}`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: Infinity },
  examples: [
    { line: 'sidecar prompt "Why does the build fail?"', what: 'the default agent, in this directory' },
    { line: 'sidecar prompt -a codex --permissions read "Review the last commit"', what: 'changes nothing' },
    { line: 'sidecar prompt -a gemini --ask "Fix the tests"', what: 'asks before each change and each command' },
    {
      line: "sidecar prompt -a claude --rule 'command=npm *,decide=approve' \"Fix the tests\"",
      what: 'only npm commands, and files',
    },
    {
      line: 'git diff | sidecar prompt -q --permissions read - > review.md',
      what: 'the prompt from stdin, only the message to a file',
    },
    { line: 'sidecar prompt -i -a "node my-agent.mjs --acp"', what: 'a conversation, with an agent of your own' },
    { line: 'sidecar prompt --on last "And now the documentation"', what: 'continues with it, or with its session' },
  ],
  run,
});

type PromptOptions = Values<typeof options>;

async function run(invocation: Invocation<PromptOptions>): Promise<number> {
  try {
    return await prompt(invocation);
  } catch (error) {
    throw toFlagError(error, flagNames, 'prompt');
  }
}

async function prompt({ values, args, config }: Invocation<PromptOptions>): Promise<number> {
  checkFlags(values);
  const isInteractive = values.interactive === true;
  const text = await promptOf(args, isInteractive);
  const connection = await connect(config, { reconnectMs: reconnectTimeoutMs });
  const { sidecar } = connection;
  const how: ConversationOptions = {
    paint: painter(config.isColour(process.stderr)),
    isQuiet: values.quiet === true,
    isJson: values.json === true,
    canAsk: isTyped(),
  };
  const given = text === undefined ? undefined : promptWith(text, values.attach, connection);
  if (values.on !== undefined) {
    const id = await resolveJob(sidecar, values.on);
    return runTurn(sidecar, (signal) => turnOn(sidecar, id, given ?? '', signal), { ...how, isOwn: false });
  }
  const request = agentRequest(values, given, connection, { isInteractive, environment: config.jobEnvironment });
  if (values.detach === true) return detach(connection, request, values.json === true);
  const begin = async (signal: AbortSignal): Promise<Turn> => {
    const { jobId } = await sidecar.agents.start(request, { signal });
    return { id: jobId, turn: given === undefined ? undefined : 1, isKept: (request.keepAlive ?? 0) > 0 };
  };
  return isInteractive ? runConversation(sidecar, begin, how) : runTurn(sidecar, begin, { ...how, isOwn: true });
}

function checkFlags(values: PromptOptions): void {
  const isInteractive = values.interactive === true;
  if (isInteractive && !isTyped()) {
    throw new UsageError('Cannot use -i: stdin is no terminal; --keep-alive and --on do without one', 'prompt');
  }
  for (const name of ['on', 'detach', 'json'] as const) {
    if (isInteractive && values[name] !== undefined) throw new UsageError(`Give -i or --${name}, not both`, 'prompt');
  }
  if (values.on === undefined) return;
  const [first] = [...newJobFlags, 'detach' as const].filter((name) => values[name] !== undefined);
  if (first !== undefined) throw new UsageError(`Cannot use --${first} with --on: the agent runs already`, 'prompt');
}

/** @returns `undefined` when the prompt will be typed. @throws UsageError */
async function promptOf(args: readonly string[], isInteractive: boolean): Promise<string | undefined> {
  const isOnStdin = (args.length === 0 && !isTyped() && hasStdin()) || (args.length === 1 && args[0] === '-');
  if (args.length === 0 && isInteractive) return undefined;
  const text = isOnStdin ? await readAll(process.stdin) : args.join(' ');
  if (text.trim() === '') throw new UsageError('There is no prompt: give one as an argument or on stdin', 'prompt');
  return text;
}

async function detach(
  { sidecar }: Connection, request: Parameters<Connection['sidecar']['agents']['start']>[0], isJson: boolean,
): Promise<number> {
  const accepted = await sidecar.agents.start(request);
  await withJobHint(accepted.jobId, () => (isJson ? printJson(accepted) : printLine(accepted.jobId)));
  return 0;
}
