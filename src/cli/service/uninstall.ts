/**
 * `sidecar uninstall`: stops the service and removes it from the operating system.
 * @module
 */
import { rmSync } from 'node:fs';
import type { Config } from '../../config/config.ts';
import { type Command, type Invocation, type Values, defineCommand } from '../command.ts';
import { exitCodes } from '../failure.ts';
import { printLine } from '../print.ts';
import { type Place, mustBeAllowed, placeAsked, scopeOptions, stateDirOf } from './detect.ts';
import { type Run, carryOut, commandLine, runner } from './run.ts';
import { serviceName } from './service.ts';
import { environmentFor } from './install.ts';

const options = {
  ...scopeOptions,
  'dry-run': { type: 'boolean', description: 'Print what would be removed and run, and change nothing' },
} as const;

export const command: Command = defineCommand({
  name: 'uninstall',
  summary: 'Stop the service and remove it; jobs and their output stay',
  usage: ['uninstall [--user|--system] [--dry-run]'],
  about: 'Without a flag: the service that is installed, that of this user first. It is no failure if there is none.',
  options,
  isAboutItself: true,
  examples: [{ line: 'sidecar uninstall --dry-run', what: 'look first' }],
  run: ({ values, config }: Invocation<Values<typeof options>>) => {
    const place = placeAsked(values, config, 'uninstall');
    return uninstall({
      config, place, isDryRun: values['dry-run'] === true, run: runner(environmentFor(config, place)),
    });
  },
});

export interface Removal {
  readonly config: Config;
  readonly place: Place;
  readonly isDryRun: boolean;
  readonly run: Run;
}

/** @throws CommandError when the user may not remove the service, or a step of it fails. */
export async function uninstall({ config, place, isDryRun, run }: Removal): Promise<number> {
  const { supervisor, owner, file, installed } = place;
  const whose = owner.scope === 'system' ? 'this machine' : owner.user;
  if (installed === undefined) {
    await printLine(`No service of ${whose} is installed (looked for ${file})`);
    return exitCodes.ok;
  }
  const [stop, forget] = [supervisor.stop(owner), supervisor.forget(owner)];
  const runs = (steps: typeof stop): string[] => steps.map((step) => `  run    ${commandLine(step)}`);
  await printLine([
    `The service ${serviceName} of ${whose} (${supervisor.name}):`, ...runs(stop), `  remove ${file}`, ...runs(forget),
  ].join('\n'));
  if (isDryRun) return exitCodes.ok;
  mustBeAllowed(place, ['uninstall', '--system']);
  await carryOut(stop, run);
  rmSync(file, { force: true });
  await carryOut(forget, run);
  await printLine(farewell(place, config));
  return exitCodes.ok;
}

function farewell(place: Place, config: Config): string {
  const stateDir = stateDirOf(place) ?? config.stateDir;
  const jobs = process.platform === 'win32' ? 'Its jobs ended with it.'
    : `Running jobs continue: to end them, run "sidecar serve --state-dir '${stateDir}'" and "sidecar kill".`;
  return `\nThe service is removed. ${jobs}\n`
    + `The key, all jobs and their output stay in ${stateDir}: remove that folder when they are no longer needed.`;
}
