/**
 * All commands, in the groups and the order of the help. A command is loaded on demand.
 * @module
 */
import { closest } from '../base/closest.ts';
import type { Command } from './command.ts';
import { UsageError } from './failure.ts';

type Loaders = { readonly [name: string]: () => Promise<{ readonly command: Command }> };

const groups: readonly { readonly title: string; readonly commands: Loaders }[] = [
  {
    title: 'Jobs',
    commands: {
      exec: () => import('./commands/exec.ts'),
      jobs: () => import('./commands/jobs.ts'),
      show: () => import('./commands/show.ts'),
      logs: () => import('./commands/logs.ts'),
      nudge: () => import('./commands/nudge.ts'),
      wait: () => import('./commands/wait.ts'),
      kill: () => import('./commands/kill.ts'),
      rerun: () => import('./commands/rerun.ts'),
      rm: () => import('./commands/rm.ts'),
    },
  },
  {
    title: 'Agents',
    commands: {
      prompt: () => import('./commands/prompt.ts'),
      permissions: () => import('./commands/permissions.ts'),
      agents: () => import('./commands/agents.ts'),
    },
  },
  {
    title: 'Shells and terminals',
    commands: {
      shell: () => import('./commands/shell.ts'),
      sessions: () => import('./commands/sessions.ts'),
      terminal: () => import('./commands/terminal.ts'),
      attach: () => import('./commands/attach.ts'),
      terminals: () => import('./commands/terminals.ts'),
    },
  },
  {
    title: 'The server',
    commands: {
      serve: () => import('./commands/serve.ts'),
      install: () => import('./commands/install.ts'),
      uninstall: () => import('./commands/uninstall.ts'),
      status: () => import('./commands/status.ts'),
      update: () => import('./commands/update.ts'),
      key: () => import('./commands/key.ts'),
      config: () => import('./commands/config.ts'),
      doctor: () => import('./commands/doctor.ts'),
      version: () => import('./commands/version.ts'),
    },
  },
];

const commands: Loaders = Object.assign({}, ...groups.map((group) => group.commands)) as Loaders;

/** Names that other programs use for these commands. */
const synonyms: { readonly [word: string]: string } = {
  run: 'exec', ps: 'jobs', ls: 'jobs', list: 'jobs', inspect: 'show', describe: 'show', tail: 'logs', output: 'logs',
  stdin: 'nudge', stop: 'kill', cancel: 'kill', signal: 'kill', retry: 'rerun', delete: 'rm', remove: 'rm', prune: 'rm',
  agent: 'prompt', ask: 'prompt', approve: 'permissions', session: 'sessions', start: 'serve', server: 'serve',
  upgrade: 'update', health: 'status', settings: 'config',
};

/** @throws UsageError naming the command that was probably meant. */
export async function findCommand(name: string): Promise<Command> {
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load) return (await load()).command;
  const meant = Object.hasOwn(synonyms, name) ? synonyms[name] : closest(name, Object.keys(commands));
  throw new UsageError(`Unknown command "${name}"${meant === undefined ? '' : `, did you mean "${meant}"?`}`);
}

export interface LoadedGroup {
  readonly title: string;
  readonly commands: readonly Command[];
}

export async function commandGroups(): Promise<readonly LoadedGroup[]> {
  return Promise.all(groups.map(async (group) => ({
    title: group.title,
    commands: await Promise.all(Object.values(group.commands).map(async (load) => (await load()).command)),
  })));
}
