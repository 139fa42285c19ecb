/**
 * `sidecar uninstall`: stops the service and removes it from the operating system.
 * @module
 */
import { rmSync } from 'node:fs';
import type { Config } from '../../config/config.ts';
import { type Command, type Invocation, type Values, defineCommand } from '../command.ts';
import { exitCodes } from '../failure.ts';
import { printLine } from '../io/print.ts';
import { type ServiceLocation, assertPermitted, locateRequestedService, scopeOptions, stateDirOf } from './detect.ts';
import { type RunStep, runSteps, commandLine, createStepRunner } from './run.ts';
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
    const location = locateRequestedService(values, config, 'uninstall');
    return uninstall({
      config, location, isDryRun: values['dry-run'] === true, run: createStepRunner(environmentFor(config, location)),
    });
  },
});

export interface UninstallOptions {
  readonly config: Config;
  readonly location: ServiceLocation;
  readonly isDryRun: boolean;
  readonly run: RunStep;
}

/** @throws CommandError when the user may not remove the service, or a step of it fails. */
export async function uninstall({ config, location, isDryRun, run }: UninstallOptions): Promise<number> {
  const { supervisor, owner, file, installed } = location;
  const whose = owner.scope === 'system' ? 'this machine' : owner.user;
  if (installed === undefined) {
    await printLine(`No service of ${whose} is installed (looked for ${file})`);
    return exitCodes.ok;
  }
  const [stop, afterRemoval] = [supervisor.stop(owner), supervisor.afterRemoval(owner)];
  const runs = (steps: typeof stop): string[] => steps.map((step) => `  run    ${commandLine(step)}`);
  await printLine([
    `The service ${serviceName} of ${whose} (${supervisor.name}):`,
    ...runs(stop),
    `  remove ${file}`,
    ...runs(afterRemoval),
  ].join('\n'));
  if (isDryRun) return exitCodes.ok;
  assertPermitted(location, ['uninstall', '--system']);
  await runSteps(stop, run);
  rmSync(file, { force: true });
  await runSteps(afterRemoval, run);
  await printLine(removedText(location, config));
  return exitCodes.ok;
}

function removedText(location: ServiceLocation, config: Config): string {
  const stateDir = stateDirOf(location) ?? config.stateDir;
  const jobs = process.platform === 'win32' ? 'Its jobs ended with it.'
    : `Running jobs continue: to end them, run "sidecar serve --state-dir '${stateDir}'" and "sidecar kill".`;
  return `\nThe service is removed. ${jobs}\n`
    + `The key, all jobs and their output stay in ${stateDir}: remove that folder when they are no longer needed.`;
}
