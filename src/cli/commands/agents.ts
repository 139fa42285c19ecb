/**
 * `sidecar agents`: which agents there are, and their sessions.
 * @module
 */
import { workdirOf } from '../workdir.ts';
import { defined } from '../../base/parse.ts';
import type { AgentListing, Job } from '../../client/client.ts';
import { tellAgentEnd } from '../agents/ending.ts';
import { policyOf, requestOptions } from '../agents/request.ts';
import { changeInWords } from '../agents/view.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { type Connection, connect } from '../connect.ts';
import { UsageError, exitCodes } from '../failure.ts';
import { inFlags } from '../flag-errors.ts';
import { aboutJob, resolveJob } from '../jobref.ts';
import { type Cell, painter, printJson, say, table, terminalWidth } from '../print.ts';
import { write } from '../streams.ts';

const { permissions, ask, deny, 'allow-commands': allowCommands, rule, model, effort, 'agent-mode': agentMode } = requestOptions;
/** As `sidecar prompt` has them. */
const changeOptions = {
  model, effort, 'agent-mode': agentMode, permissions, ask, deny, 'allow-commands': allowCommands, rule,
} as const;
const options = {
  agent: { type: 'string', short: 'a', value: 'AGENT', description: 'sessions: a name, or the command that starts one. Default: copilot' },
  workdir: { type: 'string', short: 'C', value: 'DIR', description: 'sessions: those of this directory. Default: here for the local server' },
  'auth-method': { type: 'string', value: 'ID', description: 'sessions: how to log in to the agent' },
  delete: { type: 'string', value: 'ID', description: 'sessions: the agent forgets this one' },
  ...changeOptions,
  json: { type: 'boolean', description: 'As JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'agents',
  summary: 'List the agents of the machine and their sessions; change one that runs',
  usage: [
    'agents [flags]', 'agents sessions [--agent AGENT] [--workdir DIR] [--delete ID]',
    'agents set JOB [--model MODEL] [--effort EFFORT] [--agent-mode MODE] [--permissions PRESET] [--rule RULE]…',
  ],
  about: `Of the machine that the server runs on. Of several of one name the first that is installed is meant; any other agent that speaks the Agent
Client Protocol is asked for by the command that starts it.
"set" changes the agent of a job that runs, also in the middle of a turn; its flags are those of "sidecar prompt".
${aboutJob}`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: 2 },
  examples: [
    { line: 'sidecar agents', what: 'what can be asked for, and how to install the rest' },
    { line: 'sidecar agents sessions -a claude', what: 'what it remembers of this directory; go on with sidecar prompt --session' },
    { line: 'sidecar agents set last --agent-mode plan --ask', what: 'another mode, and it asks from now on' },
    { line: "sidecar agents --json | jq -r '.agents[] | select(.installed).name'", what: 'the names of those that are installed' },
  ],
  run,
});

type Given = Values<typeof options>;

/** The flags of each action. */
const flags: { readonly [action: string]: readonly (keyof Given)[] } = {
  sessions: ['agent', 'workdir', 'auth-method', 'delete'],
  set: Object.keys(changeOptions) as (keyof typeof changeOptions)[],
};

async function run({ values, args: [action, reference], config }: Invocation<Given>): Promise<number> {
  if (action !== undefined && !Object.hasOwn(flags, action)) {
    throw new UsageError(`Unknown action "${action}": expected sessions, set or nothing`, 'agents');
  }
  for (const [other, names] of Object.entries(flags)) {
    const only = other === action ? undefined : names.find((name) => values[name] !== undefined);
    if (only !== undefined) throw new UsageError(`--${only} is for "agents ${other}"`, 'agents');
  }
  if (action === 'set' ? reference === undefined : reference !== undefined) {
    const what = action === 'set' ? 'Give the job whose agent is meant' : `Expected nothing behind "${String(action)}"`;
    throw new UsageError(what, 'agents');
  }
  const connection = await connect(config);
  if (action === 'set') return set(connection, reference ?? '', values);
  const paint = painter(config.isColour(process.stdout));
  const print = (titles: readonly string[], rows: readonly (readonly (Cell | string)[])[]): Promise<void> => write(table(titles, rows, { paint, width: terminalWidth() }));
  if (action === 'sessions') return sessions(connection, values, print);
  const list = await connection.sidecar.agents.list();
  if (values.json === true) await printJson(list);
  else await print(['NAME', 'TITLE', 'INSTALLED', 'COMMAND, OR HOW TO INSTALL IT'], list.agents.map((agent) => row(agent, list.defaultAgent)));
  return exitCodes.ok;
}

function row({ name, title, installed, command: words, packageName }: AgentListing, defaultAgent: string): (Cell | string)[] {
  return [
    name === defaultAgent ? `${name} (default)` : name,
    title,
    installed ? { text: 'yes', colour: 'green' } : { text: 'no', colour: 'dim' },
    installed ? words.join(' ') : `npm install -g ${packageName}`,
  ];
}

async function set({ sidecar }: Connection, reference: string, values: Given): Promise<number> {
  const { model, effort, 'agent-mode': agentMode } = values;
  const change = defined({ agentMode, model, effort, permissions: policyOf(values) });
  if (Object.keys(change).length === 0) {
    throw new UsageError(`Say what to change: ${flags['set']?.map((name) => `--${name}`).join(', ')}`, 'agents');
  }
  const taken = await sidecar.agents.change(await resolveJob(sidecar, reference), change);
  if (values.json === true) await printJson(taken);
  else say(`job ${taken.jobId}: ${changeInWords(taken)}`);
  return exitCodes.ok;
}

async function sessions({ sidecar, isLocal }: Connection, values: Given, print: (titles: readonly string[], rows: string[][]) => Promise<void>): Promise<number> {
  const request = defined({
    agent: values.agent, authMethod: values['auth-method'], acp_session_id: values.delete, workdir: workdirOf(values.workdir, isLocal),
  });
  let job: Job;
  try {
    job = await sidecar.agents.run({ ...request, sessionAction: values.delete === undefined ? 'list' : 'delete' });
  } catch (error) {
    throw inFlags(error, { agent: '--agent', workdir: '--workdir', acp_session_id: '--delete', authMethod: '--auth-method' }, 'agents');
  }
  if (job.status !== 'completed') {
    tellAgentEnd(job);
    return exitCodes.failure;
  }
  if (values.delete !== undefined) say(`session ${values.delete} is deleted`);
  const { sessions: found = [] } = job;
  if (values.json === true) await printJson(values.delete === undefined ? found : [values.delete]);
  else if (values.delete === undefined) {
    await print(['SESSION', 'UPDATED', 'DIRECTORY', 'TITLE'], found.map(({ sessionId, updatedAt, cwd, title }) => [sessionId, updatedAt ?? '-', cwd ?? '-', title ?? '']));
  }
  return exitCodes.ok;
}
