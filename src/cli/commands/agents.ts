/**
 * `sidecar agents`: which agents there are, and their sessions.
 * @module
 */
import { workdirOf } from '../workdir.ts';
import { defined } from '../../base/parse.ts';
import type { AgentListing, Job } from '../../client/client.ts';
import { tellAgentEnd } from '../agents/ending.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { type Connection, connect } from '../connect.ts';
import { UsageError, exitCodes } from '../failure.ts';
import { inFlags } from '../flag-errors.ts';
import { type Cell, painter, printJson, say, table, terminalWidth } from '../print.ts';
import { write } from '../streams.ts';

const options = {
  agent: { type: 'string', short: 'a', value: 'AGENT', description: 'sessions: a name, or the command that starts one. Default: copilot' },
  workdir: { type: 'string', short: 'C', value: 'DIR', description: 'sessions: those of this directory. Default: here for the local server' },
  'auth-method': { type: 'string', value: 'ID', description: 'sessions: how to log in to the agent' },
  delete: { type: 'string', value: 'ID', description: 'sessions: the agent forgets this one' },
  json: { type: 'boolean', description: 'As JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'agents',
  summary: 'List the agents that the machine has, and the sessions they remember',
  usage: ['agents [flags]', 'agents sessions [--agent AGENT] [--workdir DIR] [--delete ID]'],
  about: `Of the machine that the server runs on. Of several of one name the first that is installed is meant; any other agent that speaks the Agent
Client Protocol is asked for by the command that starts it.`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: 1 },
  examples: [
    { line: 'sidecar agents', what: 'what can be asked for, and how to install the rest' },
    { line: 'sidecar agents sessions -a claude', what: 'what it remembers of this directory; go on with sidecar prompt --session' },
    { line: "sidecar agents --json | jq -r '.agents[] | select(.installed).name'", what: 'the names of those that are installed' },
  ],
  run,
});

type Given = Values<typeof options>;

async function run({ values, args: [action], config }: Invocation<Given>): Promise<number> {
  if (action !== undefined && action !== 'sessions') throw new UsageError(`Unknown action "${action}": expected sessions, or nothing`, 'agents');
  const [only] = (['agent', 'workdir', 'auth-method', 'delete'] as const).filter((name) => values[name] !== undefined);
  if (action === undefined && only !== undefined) throw new UsageError(`--${only} is for "agents sessions"`, 'agents');
  const connection = await connect(config);
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
