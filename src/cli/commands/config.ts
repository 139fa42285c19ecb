/**
 * `sidecar config`: what holds, and where it came from.
 * @module
 */
import type { Setting } from '../../config.ts';
import { type Command, type Invocation, type Values, defineCommand } from '../command.ts';
import { type Cell, painter, printJson, table, terminalWidth } from '../print.ts';
import { settingOptions } from '../settings.ts';
import { write } from '../streams.ts';

const options = {
  json: { type: 'boolean', description: 'As JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'config',
  summary: 'Print the settings that hold, and where each came from',
  usage: ['config [flags]'],
  about: 'Flags go before SIDECAR_* in the environment, before $XDG_CONFIG_HOME/machine-sidecar/config.json, before defaults.',
  options,
  // All of them as flags, so that it can be tried what one would change.
  settings: settingOptions([]),
  examples: [
    { line: 'sidecar config', what: 'all of them' },
    { line: "sidecar config --json | jq '.[] | select(.source != \"default\")'", what: 'what was set' },
  ],
  run,
});

async function run({ values, config }: Invocation<Values<typeof options>>): Promise<number> {
  const shown = config.settings().map((setting) => ({ ...setting, value: shownValue(setting) }));
  if (values.json === true) {
    await printJson(shown.map(({ name, value, source, where, description }) => ({ name, value: value ?? null, source, where, description })));
    return 0;
  }
  const rows = shown.map(({ name, value, source, where }): (Cell | string)[] => [
    name,
    source === 'default' ? { text: textOf(value), colour: 'dim' } : textOf(value),
    source === 'default' ? { text: 'default', colour: 'dim' } : where,
  ]);
  const paint = painter(config.isColour(process.stdout));
  await write(table(['SETTING', 'VALUE', 'FROM'], rows, { paint, width: terminalWidth() }));
  return 0;
}

/** A secret is never shown, not even its length. */
function shownValue({ value, isSecret }: Setting): unknown {
  return isSecret && value !== undefined ? '********' : value;
}

function textOf(value: unknown): string {
  if (value === undefined) return '-';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.join(', ');
  return String(value);
}
