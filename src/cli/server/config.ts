/**
 * `sidecar config`: prints the effective settings, and the source of each.
 * @module
 */
import type { Setting } from '../../config/config.ts';
import type { ProxyReport } from '../../proxy/report.ts';
import { type Command, type Invocation, type Values, defineCommand } from '../command.ts';
import { sharedOptions } from '../options.ts';
import { type Cell, printJson, printTable } from '../io/print.ts';
import { settingOptions } from './settings.ts';

const options = { json: sharedOptions.json } as const;

export const command: Command = defineCommand({
  name: 'config',
  summary: 'Print the settings that hold, and where each came from',
  usage: ['config [flags]'],
  about: 'Flags go before SIDECAR_* in the environment, before $XDG_CONFIG_HOME/machine-sidecar/config.json, '
    + 'before defaults.\n'
    + 'The proxies come from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in lower case first; `sidecar doctor` '
    + 'tries them.',
  options,
  // Every setting is a flag here, so that a user can try what it would change.
  settings: settingOptions([]),
  examples: [
    { line: 'sidecar config', what: 'all of them' },
    { line: "sidecar config --json | jq '.[] | select(.source != \"default\")'", what: 'what was set' },
  ],
  run,
});

async function run({ values, config }: Invocation<Values<typeof options>>): Promise<number> {
  const settings = config.settings().map((setting) => ({ ...setting, value: shownValue(setting) }));
  const shown = [...settings, ...config.proxyReport().map(settingOf)];
  if (values.json === true) {
    await printJson(shown.map(({ name, value, source, where, description }) => (
      { name, value: value ?? null, source, where, description }
    )));
    return 0;
  }
  const rows = shown.map(({ name, value, source, where }): (Cell | string)[] => [
    name,
    source === 'default' ? { text: textOf(value), colour: 'dim' } : textOf(value),
    source === 'default' ? { text: 'default', colour: 'dim' } : where,
  ]);
  await printTable(['SETTING', 'VALUE', 'FROM'], rows, config);
  return 0;
}

const proxyDescriptions: { readonly [Name in ProxyReport['name']]: string } = {
  'https-proxy': 'The proxy to https and wss addresses; its user and password are not shown.',
  'http-proxy': 'The proxy to http and ws addresses; its user and password are not shown.',
  'no-proxy': 'What is reached without a proxy. Loopback addresses always are.',
};

function settingOf({ name, value, variable, problem }: ProxyReport): Omit<Setting, 'isSecret'> {
  const description = proxyDescriptions[name];
  if (variable === undefined) return { name, value: undefined, source: 'default', where: '', description };
  return { name, value: problem ?? value, source: 'environment', where: variable, description };
}

/** Hides a secret entirely, even its length. */
function shownValue({ value, isSecret }: Setting): unknown {
  return isSecret && value !== undefined ? '********' : value;
}

function textOf(value: unknown): string {
  if (value === undefined) return '-';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.join(', ');
  return String(value);
}
