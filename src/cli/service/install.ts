/**
 * `sidecar install`: installs the server as a service of the operating system.
 * @module
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeFolder } from '../../base/files/make-folder.ts';
import { quote } from '../../base/text/shell-word.ts';
import type { Config } from '../../config/config.ts';
import { compareVersions } from '../../update/versions/semver.ts';
import { type Command, type Invocation, type Values, defineCommand } from '../command.ts';
import { CommandError, exitCodes } from '../failure.ts';
import { printLine, printMessage } from '../io/print.ts';
import { type ListeningServer, liveServer, waitUntilServing } from './live-server.ts';
import {
  type ServiceLocation, assertPermitted, fragilityWarning, locateService, obstacleTo, scopeOf, scopeOptions, serviceOf,
  stateDirOf,
} from './detect.ts';
import { type RunStep, commandLine, createStepRunner, runSteps } from './run.ts';
import { type Change, type Service, type SupervisorStep, serviceName } from './service.ts';
import { settingOptions } from '../server/settings.ts';
import { write } from '../io/streams.ts';
import { ownVersion } from '../../process/own-version.ts';

const options = {
  ...scopeOptions,
  'dry-run': { type: 'boolean', description: 'Print what would be written and run, and change nothing' },
} as const;

export const command: Command = defineCommand({
  name: 'install',
  summary: 'Run the server as a service: it starts with the machine, and again whenever it ends',
  usage: ['install [--user|--system] [flags]'],
  about: `Uses systemd on Linux, launchd on macOS, the Task Scheduler on Windows. May be run again: the flags that are
given then hold, and the service is restarted only if something changed. A restart does not touch running jobs.
Every flag of "sidecar serve" may be given: it becomes a flag of the service, as do SIDECAR_* variables of now, but
secrets do not. The config file is read by the service itself. "sidecar uninstall" removes the service.`,
  options,
  settings: settingOptions(['url', 'key-file']),
  listedSettings: ['host', 'port', 'state-dir'],
  isAboutItself: true,
  examples: [
    { line: 'sidecar install --dry-run', what: 'look first' },
    { line: 'sidecar install --port 9000', what: 'for this user' },
    { line: 'sudo sidecar install --system', what: 'for the machine; jobs then run as root' },
  ],
  run: ({ values, config }: Invocation<Values<typeof options>>) => {
    const location = locateService(scopeOf(values, 'install'), config);
    return install({
      config,
      location,
      isDryRun: values['dry-run'] === true,
      run: createStepRunner(environmentFor(config, location)),
      obstacle: obstacleTo(location),
    });
  },
});

export interface InstallOptions {
  readonly config: Config;
  readonly location: ServiceLocation;
  readonly isDryRun: boolean;
  readonly run: RunStep;
  /** Why no service can run here; `undefined`: one can. */
  readonly obstacle: string | undefined;
}

/** Milliseconds until the service must have answered. */
const answerTimeoutMs = 30_000;

/**
 * Writes the description of the service, starts it, and waits until it answers.
 *
 * @throws CommandError when the service may not or cannot be installed, or does not answer.
 */
export async function install({ config, location, isDryRun, run, obstacle }: InstallOptions): Promise<number> {
  const { supervisor, owner, file } = location;
  const service = serviceOf(config);
  const content = describeService(location, service);
  if (isDryRun) return preview(location, content, obstacle);
  if (obstacle !== undefined) {
    throw new CommandError(`Cannot install a service: ${obstacle}`, {
      hint: 'Let the supervisor of this machine run: sidecar serve --wrapper',
    });
  }
  assertPermitted(location, ['install', '--system', ...service.words.slice(4)]);
  await assertNoOtherServer(location, config, run);
  const change = await changeToRunning(location, content, config);
  const steps = supervisor.start(owner, change, file);
  await write(planText(location, change === 'same' ? undefined : content, steps));
  printWarnings(config, service);
  if (change !== 'same') writeAtomically(file, content, supervisor.encoding);
  await runSteps(steps, run);
  const serving = await waitUntilServing(config.stateDir, answerTimeoutMs);
  if (serving === undefined) throw noAnswerError(location);
  await printLine(welcomeText(serving, config));
  return exitCodes.ok;
}

/** systemctl and loginctl find a user's systemd by this variable, which su and cron do not set (pam_systemd(8)). */
export function environmentFor(
  config: Config, { owner: { uid } }: ServiceLocation,
): { readonly [name: string]: string } {
  return { XDG_RUNTIME_DIR: `/run/user/${uid}`, ...config.jobEnvironment };
}

function describeService({ supervisor, owner }: ServiceLocation, service: Service): string {
  try {
    return supervisor.describe(service, owner);
  } catch (error) {
    if (error instanceof RangeError) {
      throw new CommandError(`Cannot install a service: ${error.message}`, { cause: error });
    }
    throw error;
  }
}

async function preview(location: ServiceLocation, content: string, obstacle: string | undefined): Promise<number> {
  const { supervisor, owner, file, installed } = location;
  const change = changeOf(installed, content);
  await write(planText(location, content, supervisor.start(owner, change, file)));
  await write(`\n${file}:\n\n${content.replaceAll('\r', '').replaceAll(/^(?=.)/gm, '    ')}`);
  if (obstacle !== undefined) printMessage(`It cannot be done here: ${obstacle}`);
  return exitCodes.ok;
}

function planText(
  { supervisor, owner, file }: ServiceLocation, content: string | undefined, steps: readonly SupervisorStep[],
): string {
  const lines = [
    ...(content === undefined ? [] : [`  write  ${file}`]),
    ...steps.map((step) => `  run    ${commandLine(step)}${step.why === undefined ? '' : `   # ${step.why}`}`),
  ];
  const whose = owner.scope === 'system' ? 'this machine' : owner.user;
  return `The service ${serviceName} of ${whose} (${supervisor.name}):\n${lines.join('\n')}\n`;
}

/** @throws CommandError when a server other than the service holds the state directory: the service could not start. */
async function assertNoOtherServer(location: ServiceLocation, config: Config, run: RunStep): Promise<void> {
  const holder = await liveServer(config.stateDir);
  if (holder === undefined) return;
  const { isRunning } = location.installed === undefined
    ? { isRunning: false }
    : location.supervisor.state(await run(location.supervisor.query(location.owner)));
  if (isRunning !== false && stateDirOf(location) === config.stateDir) return;
  throw new CommandError(
    `Cannot install a service for ${config.stateDir}: a server runs there already, with pid ${holder.pid}`,
    { hint: `Stop it (kill ${holder.pid}) and run this again: its jobs continue, and the service finds them` },
  );
}

/** The same description may stand for a newer program; a service that updated itself is newer than this program. */
async function changeToRunning({ installed }: ServiceLocation, content: string, config: Config): Promise<Change> {
  const change = changeOf(installed, content);
  if (change !== 'same') return change;
  const running = (await liveServer(config.stateDir))?.version;
  return running !== undefined && compareVersions(running, ownVersion()) < 0 ? 'changed' : 'same';
}

function changeOf(installed: string | undefined, content: string): Change {
  if (installed === undefined) return 'new';
  return installed === content ? 'same' : 'changed';
}

function printWarnings(config: Config, service: Service): void {
  const text = fragilityWarning(service);
  if (text !== undefined) printMessage(text);
  const secret = config.proxyReport().filter(({ hasCredentials }) => hasCredentials);
  for (const variable of new Set(secret.map((report) => report.variable))) {
    printMessage(`${variable} is passed on to the service without its user and password, as others can read the file`);
  }
  const key = config.settings().find(({ name }) => name === 'api-key');
  if (key?.source === 'environment') {
    printMessage(`${key.where} is not passed on to the service: it has a key of its own, in its state directory`);
  }
}

/** Writes to a new file and renames it: a supervisor never reads half of it. Others may read it, as they may `ps`. */
function writeAtomically(file: string, content: string, encoding: 'utf8' | 'utf16le'): void {
  const beside = `${file}.${process.pid}`;
  try {
    makeFolder(dirname(file));
    rmSync(beside, { force: true });
    writeFileSync(beside, `${encoding === 'utf16le' ? '\ufeff' : ''}${content}`, { encoding, mode: 0o644, flag: 'wx' });
    renameSync(beside, file);
  } catch (error) {
    throw new CommandError(`Cannot write ${file}: ${(error as Error).message}`, { cause: error });
  }
}

function noAnswerError({ supervisor, owner }: ServiceLocation): CommandError {
  const logs = supervisor.logs(owner);
  return new CommandError(`The service is installed, but has not answered for ${answerTimeoutMs / 1000} s`, {
    hint: logs === undefined ? 'See: sidecar status' : `See: ${logs}`,
  });
}

function welcomeText({ url }: ListeningServer, config: Config): string {
  const setting = config.settings().find(({ name }) => name === 'api-key');
  const inFile = setting?.source === 'file' ? setting.where : undefined;
  const key = inFile === undefined ? `$(cat ${quote(join(config.stateDir, 'api-key'))})` : '$(sidecar key show)';
  return `\nmachine-sidecar serves on ${url}. Its key is in ${inFile ?? join(config.stateDir, 'api-key')}. Try:\n\n`
    + `  curl -s '${url}/exec?wait=10' -H "X-API-Key: ${
      key
    }" -H 'Content-Type: application/json' -d '{"command":"echo hello"}'\n`;
}
