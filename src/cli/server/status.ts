/**
 * `sidecar status`: reports whether the service is installed, runs and answers.
 * @module
 */
import { type Config, loadConfig } from '../../config/config.ts';
import type { Health, HealthUpdate, LastUpdate, Liveness } from '../../client/client.ts';
import { type Command, type Invocation, type Values, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { explain } from '../failure.ts';
import { sharedOptions } from '../options.ts';
import { ago, oneLine, printJson } from '../io/print.ts';
import { write } from '../io/streams.ts';
import { type ServiceLocation, locateRequestedService, scopeOptions, stateDirOf } from '../service/detect.ts';
import { type RunStep, createStepRunner } from '../service/run.ts';
import type { ServiceState } from '../service/service.ts';
import { environmentFor } from '../service/install.ts';

const options = {
  ...scopeOptions,
  json: sharedOptions.json,
} as const;

/** Exit status for "program is not running": Linux Standard Base 5.0, Core, §20.2, and systemctl(1). */
const notServing = 3;

export const command: Command = defineCommand({
  name: 'status',
  summary: 'Show whether the service is installed, runs and answers',
  usage: ['status [--user|--system] [--json]'],
  about: 'Without --user or --system: the service that is installed, that of this user first.\n'
    + 'Exit code 0 when the server answers, also one that was started by hand; 3 when it does not.',
  options,
  settings: {
    'state-dir': {
      type: 'string', value: 'DIR',
      description: 'The state directory. Default: that of the service (SIDECAR_STATE_DIR)',
    },
  },
  examples: [{ line: "sidecar status --json | jq '.health.running'", what: 'how many jobs run' }],
  run: ({ values, config }: Invocation<Values<typeof options>>) => {
    const location = locateRequestedService(values, config, 'status');
    const run = createStepRunner(environmentFor(config, location));
    return status({ config, location, isJson: values.json === true, run });
  },
});

export interface StatusOptions {
  readonly config: Config;
  readonly location: ServiceLocation;
  readonly isJson: boolean;
  readonly run: RunStep;
}

/** What is known about a service. */
interface ServiceReport {
  readonly scope: string;
  readonly supervisor: string;
  readonly file: string;
  readonly isInstalled: boolean;
  readonly state: ServiceState | null;
  readonly stateDir: string;
  readonly url: string | null;
  readonly health: Health | Liveness | null;
  /** Why `health` is `null`. */
  readonly error: string | null;
  readonly logs: string | null;
}

/** @returns 0 when the server answers, otherwise 3. */
export async function status({ config, location, isJson, run }: StatusOptions): Promise<number> {
  const { supervisor, owner, file, installed } = location;
  const isAsked = config.settings().some(({ name, source }) => name === 'state-dir' && source === 'flag');
  const stateDir = isAsked ? config.stateDir : stateDirOf(location) ?? config.stateDir;
  const report: ServiceReport = {
    scope: owner.scope, supervisor: supervisor.name, file, stateDir,
    isInstalled: installed !== undefined,
    state: installed === undefined ? null : supervisor.state(await run(supervisor.query(owner))),
    ...await healthOf(stateDir),
    logs: installed === undefined ? null : supervisor.logs(owner) ?? null,
  };
  if (isJson) await printJson(report);
  else await write(reportText(report));
  return report.health === null ? notServing : 0;
}

async function healthOf(stateDir: string): Promise<Pick<ServiceReport, 'url' | 'health' | 'error'>> {
  let url: string | null = null;
  try {
    // An address in the environment may name another server: it is ignored.
    const config = loadConfig({ 'state-dir': stateDir });
    const connection = await connect({ ...config, url: undefined });
    url = connection.url;
    return { url, health: await connection.sidecar.health(), error: null };
  } catch (error) {
    return { url, health: null, error: explain(error).lines[0] ?? '' };
  }
}

function reportText({ scope, supervisor, file, state, stateDir, url, health, error, logs }: ServiceReport): string {
  const service = state === null
    ? `not installed (${supervisor}, ${scope})`
    : `${state.detail}, ${supervisor}, ${scope}${sinceText(state)}`;
  const rows: (readonly [string, string])[] = [
    ['service', service],
    ...(state === null ? [] : [['file', file] as const]),
    ['state', stateDir],
    ['server', health === null ? `none: ${error}` : `${url ?? ''}${versionText(health)}`],
    ...(health?.authenticated === true
      ? [['jobs', `${health.running} running, ${health.queued} waiting, ${health.jobs} kept`] as const]
      : []),
    ...(health === null ? [] : wrapperRows(health)),
    ...(logs === null ? [] : [['logs', logs] as const]),
  ];
  return rows.map(([name, value]) => `${name.padEnd(8)} ${oneLine(value)}\n`).join('');
}

function sinceText({ pid, since: at }: ServiceState): string {
  return `${pid === undefined ? '' : `, pid ${pid}`}${
    at === undefined ? '' : `, since ${new Date(at * 1000).toISOString()} (${ago(at)})`
  }`;
}

function versionText(health: Health | Liveness): string {
  return health.authenticated
    ? `, version ${health.version}, pid ${health.pid}`
    : ', which tells more only with its key';
}

/** Rows for what only newer servers report, as far as it is present. */
function wrapperRows(health: Health | Liveness): (readonly [string, string])[] {
  const { wrapper, update }: Partial<Pick<Health, 'wrapper' | 'update'>> = health.authenticated ? health : {};
  const news = update ? updateText(update) : '';
  return [
    ...(wrapper ? [['wrapper', `pid ${wrapper.pid}`] as const] : []),
    ...(news === '' ? [] : [['update', news] as const]),
  ];
}

function updateText({ available, inProgress, lastOutcome }: HealthUpdate): string {
  return [
    ...(inProgress === null ? [] : [`one is under way (${inProgress})`]),
    ...(available === null ? [] : [`${available} is available`]),
    ...(lastOutcome === null ? [] : [lastUpdateText(lastOutcome)]),
  ].join('; ');
}

function lastUpdateText({ status, from, to, reason, at }: LastUpdate): string {
  const [before, after] = [from, to].map((version) => version ?? 'the version installed by hand');
  switch (status) {
    case 'updated': return `updated from ${before} to ${after} ${ago(at)}`;
    case 'rolled_back': return `took ${before} back to ${after} ${ago(at)}: ${reason}`;
    case 'failed': return `could not update to ${to ?? 'a newer version'} ${ago(at)}: ${reason}`;
  }
}
