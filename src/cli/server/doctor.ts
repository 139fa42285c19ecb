/**
 * `sidecar doctor`: reports what works on this machine and what does not, with the fix.
 * @module
 */
import type { Config } from '../../config/config.ts';
import { type Check, type Finding, codeOf, fail } from '../checks/check.ts';
import { machineChecks } from '../checks/machine.ts';
import { proxyChecks } from '../checks/proxy.ts';
import { serverChecks } from '../checks/server.ts';
import { stateChecks } from '../checks/state.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { exitCodes } from '../failure.ts';
import { sharedOptions } from '../options.ts';
import { type Colour, type Paint, oneLine, painter, printJson } from '../io/print.ts';
import { write } from '../io/streams.ts';

const options = { json: sharedOptions.json } as const;

export const command: Command = defineCommand({
  name: 'doctor',
  summary: 'Look at what works on this machine and what does not, with the fix',
  usage: ['doctor [flags]'],
  about: 'Changes nothing. Exit code 1 when something fails; warnings are about what works less well or is optional.',
  options,
  settings: connectionSettings,
  examples: [{ line: "sidecar doctor --json | jq '.[] | select(.state != \"ok\")'", what: 'only what is not right' }],
  run,
});

const checks: readonly Check[] = [...machineChecks, ...stateChecks, ...proxyChecks, ...serverChecks];

type Row = Finding & { readonly name: string };

async function run({ values, config }: Invocation<Values<typeof options>>): Promise<number> {
  const rows = await Promise.all(checks.map((check) => runCheck(check, config)));
  if (values.json === true) await printJson(rows);
  else await write(reportText(rows, painter(config.isColour(process.stdout))));
  return rows.some(({ state }) => state === 'fail') ? exitCodes.failure : exitCodes.ok;
}

/** A check that itself fails is a finding, too. */
async function runCheck(check: Check, config: Config): Promise<Row> {
  try {
    return { name: check.name, ...await check.run(config) };
  } catch (error) {
    return { name: check.name, ...fail(`could not be looked at: ${codeOf(error)}`, 'Please report this') };
  }
}

const colours: { readonly [S in Finding['state']]: Colour } = { ok: 'green', warn: 'yellow', fail: 'red' };

function reportText(rows: readonly Row[], paint: Paint): string {
  const width = Math.max(...rows.map(({ name }) => name.length));
  const lines = rows.flatMap(({ name, state, text: finding, fix }) => [
    `${paint(colours[state], state.padEnd(4))}  ${name.padEnd(width)}  ${oneLine(finding)}`,
    ...(fix === undefined ? [] : [`${' '.repeat(6 + width + 2)}${paint('dim', `→ ${oneLine(fix)}`)}`]),
  ]);
  return `${lines.join('\n')}\n`;
}
