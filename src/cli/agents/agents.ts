/**
 * `sidecar agents`: lists agents and their sessions; installs agents, logs them in and out, and changes running ones.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { workdirOf } from '../process-fields.ts';
import { knownAgents } from '../../agents/registry.ts';
import type { AgentList } from '../../client/client.ts';
import type { Config } from '../../config/config.ts';
import { login, logout } from './account.ts';
import { runQuery } from './query.ts';
import { publicRegistry, registryEntry } from './registry.ts';
import { policyOf, requestOptions } from './request.ts';
import { changeInWords } from './view.ts';
import { attach, reconnectTimeoutMs } from '../follow/follow-job.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { type Connection, connect } from '../connect.ts';
import { UsageError, exitCodes } from '../failure.ts';
import { toFlagError } from '../flag-error.ts';
import { aboutJob, resolveJob } from '../job-ref.ts';
import { withInterrupts } from '../follow/interrupts.ts';
import { sharedOptions } from '../options.ts';
import { type Cell, printJson, printMessage, printTable } from '../io/print.ts';
import { write } from '../io/streams.ts';

const {
  permissions, ask, deny, 'allow-commands': allowCommands, rule, model, effort, 'agent-mode': agentMode,
} = requestOptions;
/** Flags shared with `sidecar prompt`. */
const changeOptions = {
  model, effort, 'agent-mode': agentMode, permissions, ask, deny, 'allow-commands': allowCommands, rule,
} as const;
const options = {
  agent: {
    type: 'string', short: 'a', value: 'AGENT',
    description: 'sessions: a name, or the command that starts one. Default: copilot',
  },
  workdir: {
    ...sharedOptions.workdir,
    description: 'sessions: those of this directory. Default: here for the local server',
  },
  'auth-method': { ...sharedOptions['auth-method'], description: 'sessions, login: how to log in to the agent' },
  delete: { type: 'string', value: 'ID', description: 'sessions: delete this session' },
  registry: {
    type: 'string', value: 'FILE|URL',
    description: 'install: the registry.json or agent.json that has it. Default: the public one, for names not known',
  },
  kind: { type: 'string', value: 'KIND', description: 'install: npx, uvx or binary. Default: the first that works' },
  detach: { type: 'boolean', short: 'd', description: 'install: print the id of the job and leave' },
  ...changeOptions,
  json: sharedOptions.json,
} as const;

export const command: Command = defineCommand({
  name: 'agents',
  summary: 'List the agents of the machine and their sessions; install one; change one that runs',
  usage: [
    'agents [flags]', 'agents sessions [--agent AGENT] [--workdir DIR] [--delete ID]',
    'agents install NAME[@VERSION] [--registry FILE|URL] [--kind KIND] [-d]',
    'agents login NAME [--auth-method ID]', 'agents logout NAME',
    'agents set JOB [--model MODEL] [--effort EFFORT] [--agent-mode MODE] [--permissions PRESET]\n'
      + '                              [--rule RULE]…',
  ],
  about: `Of the machine that the server runs on. Of several of one name the first that is installed is meant; any other
agent that speaks the Agent Client Protocol is asked for by the command that starts it.
"install" is a job on that machine: from npm, by uv from PyPI, or from an archive whose SHA-256 the registry tells.
The public registry is ${publicRegistry}
"login" opens a terminal there with the agent's own login, where it has one; "logout" has the agent forget it.
"set" changes the agent of a job that runs, also in the middle of a turn; its flags are those of "sidecar prompt".
${aboutJob}`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: 2 },
  examples: [
    { line: 'sidecar agents', what: 'what can be asked for, and how to install the rest' },
    {
      line: 'sidecar agents sessions -a claude',
      what: 'what it remembers of this directory; continue by sidecar prompt --session',
    },
    { line: 'sidecar agents install gemini', what: 'from npm; sidecar prompt -a gemini then finds it' },
    { line: 'sidecar agents install claude-acp -d', what: 'of the public registry; prints the id of the job' },
    { line: 'sidecar agents install mine --registry ./agent.json --kind binary', what: 'of an entry of your own' },
    { line: 'sidecar agents login gemini', what: 'in a terminal of that machine' },
    { line: 'sidecar agents set last --agent-mode plan --ask', what: 'another mode, and it asks from now on' },
    {
      line: "sidecar agents --json | jq -r '.agents[] | select(.installed).name'",
      what: 'the names of those that are installed',
    },
  ],
  run,
});

type AgentsOptions = Values<typeof options>;

/** The flags of each action. */
const flags: { readonly [action: string]: readonly (keyof AgentsOptions)[] } = {
  sessions: ['agent', 'workdir', 'auth-method', 'delete'],
  install: ['registry', 'kind', 'detach'], login: ['auth-method'], logout: [],
  set: Object.keys(changeOptions) as (keyof typeof changeOptions)[],
};

/** The argument that each action needs. */
const requiredArguments: { readonly [action: string]: string } = {
  install: 'agent to install', login: 'agent to log in', logout: 'agent to log out', set: 'job whose agent is meant',
};

async function run({ values, args: [action, reference], config }: Invocation<AgentsOptions>): Promise<number> {
  if (action !== undefined && !Object.hasOwn(flags, action)) {
    throw new UsageError(`Unknown action "${action}": expected ${Object.keys(flags).join(', ')} or nothing`, 'agents');
  }
  for (const [other, names] of Object.entries(flags)) {
    const own = flags[action ?? ''] ?? [];
    const only = names.find((name) => values[name] !== undefined && !own.includes(name));
    if (only !== undefined) throw new UsageError(`--${only} is for "agents ${other}"`, 'agents');
  }
  const behind = action === undefined ? undefined : requiredArguments[action];
  if (behind !== undefined && reference === undefined) throw new UsageError(`Give the ${behind}`, 'agents');
  if (behind === undefined && reference !== undefined) {
    throw new UsageError(`Expected nothing behind "${String(action)}"`, 'agents');
  }
  const connection = await connect(config, action === 'install' ? { reconnectMs: reconnectTimeoutMs } : {});
  if (action === 'set') return set(connection, reference ?? '', values);
  if (action === 'install') return install(connection, reference ?? '', values);
  if (action === 'login') return login(connection, reference ?? '', values['auth-method']);
  if (action === 'logout') return logout(connection, reference ?? '');
  if (action === 'sessions') return sessions(connection, values, config);
  const list = await connection.sidecar.agents.list();
  if (values.json === true) await printJson(list);
  else await printTable(['NAME', 'TITLE', 'INSTALLED', 'COMMAND, OR HOW TO INSTALL IT'], rows(list), config);
  return exitCodes.ok;
}

function rows({ agents, defaultAgent }: AgentList): (Cell | string)[][] {
  return agents.map(({ name, title, installed, command: words, packageName }) => {
    const [first] = knownAgents.filter((agent) => agent.name === name);
    const how = first?.packageName === packageName ? `sidecar agents install ${name}` : `npm install -g ${packageName}`;
    return [
      name === defaultAgent ? `${name} (default)` : name,
      title,
      installed ? { text: 'yes', colour: 'green' } : { text: 'no', colour: 'dim' },
      installed ? words.join(' ') : how,
    ];
  });
}

async function install({ sidecar }: Connection, wanted: string, values: AgentsOptions): Promise<number> {
  const [, name = wanted, version] = /^(.+)@([^@]+)$/.exec(wanted) ?? [];
  const { kind: given } = values;
  const kind = (['npx', 'uvx', 'binary'] as const).find((one) => one === given);
  if (given !== undefined && kind === undefined) {
    throw new UsageError('Cannot read --kind: expected npx, uvx or binary', 'agents');
  }
  const isKnown = knownAgents.some((agent) => agent.name === name);
  const { registry = isKnown ? undefined : publicRegistry } = values;
  const entry = registry === undefined ? undefined : await registryEntry(registry, name);
  const request = defined({ version, kind, entry });
  const { jobId } = await sidecar.agents.install(name, request).catch((error: unknown) => {
    throw toFlagError(error, { entry: `the entry of ${name}`, version: 'the version' }, 'agents');
  });
  if (values.detach === true) {
    await write(`${jobId}\n`);
    return exitCodes.ok;
  }
  return withInterrupts((interrupts) => attach(sidecar, jobId, { interrupts, isStdinForwarded: false }));
}

async function set({ sidecar }: Connection, reference: string, values: AgentsOptions): Promise<number> {
  const { model, effort, 'agent-mode': agentMode } = values;
  const change = defined({ agentMode, model, effort, permissions: policyOf(values) });
  if (Object.keys(change).length === 0) {
    throw new UsageError(`Say what to change: ${flags['set']?.map((name) => `--${name}`).join(', ')}`, 'agents');
  }
  const taken = await sidecar.agents.change(await resolveJob(sidecar, reference), change);
  if (values.json === true) await printJson(taken);
  else printMessage(`job ${taken.jobId}: ${changeInWords(taken)}`);
  return exitCodes.ok;
}

async function sessions(
  { sidecar, isLocal }: Connection, values: AgentsOptions, config: Config,
): Promise<number> {
  const request = defined({
    agent: values.agent,
    authMethod: values['auth-method'],
    acp_session_id: values.delete,
    workdir: workdirOf(values.workdir, isLocal),
  });
  const job = await runQuery(sidecar, { ...request, sessionAction: values.delete === undefined ? 'list' : 'delete' });
  if (job === undefined) return exitCodes.failure;
  if (values.delete !== undefined) printMessage(`session ${values.delete} is deleted`);
  const { sessions: found = [] } = job;
  if (values.json === true) await printJson(values.delete === undefined ? found : [values.delete]);
  else if (values.delete === undefined) {
    await printTable(
      ['SESSION', 'UPDATED', 'DIRECTORY', 'TITLE'],
      found.map(({ sessionId, updatedAt, cwd, title }) => [sessionId, updatedAt ?? '-', cwd ?? '-', title ?? '']),
      config,
    );
  }
  return exitCodes.ok;
}
