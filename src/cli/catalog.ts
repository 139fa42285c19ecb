/**
 * All commands, in the groups and the order of the help. A command is loaded on demand.
 * @module
 */
import { closest } from '../base/text/closest.ts';
import type { Command } from './command.ts';
import { UsageError } from './failure.ts';

type Loaders = { readonly [name: string]: () => Promise<{ readonly command: Command }> };

const groups: readonly { readonly title: string; readonly commands: Loaders }[] = [
  {
    title: 'Jobs',
    commands: {
      exec: () => import('./jobs/exec.ts'),
      jobs: () => import('./jobs/jobs.ts'),
      show: () => import('./jobs/show.ts'),
      logs: () => import('./jobs/logs.ts'),
      nudge: () => import('./jobs/nudge.ts'),
      wait: () => import('./jobs/wait.ts'),
      kill: () => import('./jobs/kill.ts'),
      rerun: () => import('./jobs/rerun.ts'),
      rm: () => import('./jobs/rm.ts'),
    },
  },
  {
    title: 'Agents',
    commands: {
      prompt: () => import('./agents/prompt.ts'),
      permissions: () => import('./agents/permissions.ts'),
      agents: () => import('./agents/agents.ts'),
    },
  },
  {
    title: 'Shells and terminals',
    commands: {
      shell: () => import('./shells/shell.ts'),
      sessions: () => import('./shells/sessions.ts'),
      terminal: () => import('./terminals/terminal.ts'),
      attach: () => import('./terminals/attach.ts'),
      terminals: () => import('./terminals/terminals.ts'),
    },
  },
  {
    title: 'Files',
    commands: {
      ls: () => import('./files/ls.ts'),
      cat: () => import('./files/cat.ts'),
      cp: () => import('./files/cp.ts'),
      sync: () => import('./files/sync.ts'),
      find: () => import('./files/find.ts'),
      watch: () => import('./files/watch.ts'),
      edit: () => import('./files/edit.ts'),
    },
  },
  {
    title: 'The server',
    commands: {
      serve: () => import('./server/serve.ts'),
      install: () => import('./service/install.ts'),
      uninstall: () => import('./service/uninstall.ts'),
      status: () => import('./server/status.ts'),
      update: () => import('./server/update.ts'),
      key: () => import('./server/key.ts'),
      config: () => import('./server/config.ts'),
      doctor: () => import('./server/doctor.ts'),
      version: () => import('./server/version.ts'),
    },
  },
];

const commands: Loaders = Object.assign({}, ...groups.map((group) => group.commands)) as Loaders;

/** Names that other programs use for these commands. */
const synonyms: { readonly [word: string]: string } = {
  run: 'exec', ps: 'jobs', list: 'jobs', inspect: 'show', describe: 'show', tail: 'logs', output: 'logs',
  stdin: 'nudge', stop: 'kill', cancel: 'kill', signal: 'kill', retry: 'rerun', delete: 'rm', remove: 'rm', prune: 'rm',
  agent: 'prompt', ask: 'prompt', approve: 'permissions', session: 'sessions', start: 'serve', server: 'serve',
  upgrade: 'update', health: 'status', settings: 'config', dir: 'ls', copy: 'cp', scp: 'cp', upload: 'cp',
  download: 'cp', rsync: 'sync', push: 'sync', grep: 'find', rg: 'find', search: 'find',
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
