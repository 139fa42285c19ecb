/**
 * `sidecar update`: replaces the server by another version.
 * @module
 */
import { defined } from '../../base/defined.ts';
import type { Sidecar, UpdateOptions, UpdateProgress, UpdateState } from '../../client/client.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { CommandError, UsageError, exitCodes } from '../failure.ts';
import { oneLine, printJson, printLine, printMessage } from '../io/print.ts';

const options = {
  check: { type: 'boolean', description: 'Only ask what there is' },
  version: {
    type: 'string', value: 'VERSION',
    description: 'This version and no other. Default: the one that the source of the server names',
  },
  'allow-downgrade': { type: 'boolean', description: 'With --version: it may be older than the one that runs' },
  'if-idle': { type: 'boolean', description: 'Only if no job is running or waiting' },
  'no-wait': { type: 'boolean', description: 'Do not wait for how it ends' },
  json: { type: 'boolean', description: 'The state of updates as JSON; with --no-wait, the answer of the server' },
} as const;

export const command: Command = defineCommand({
  name: 'update',
  summary: 'Update the server to a newer version, while it answers and its jobs keep running',
  usage: ['update [flags]', 'update --check [flags]'],
  about: `The server needs a wrapper to carry it out: "sidecar serve --wrapper", or a service. Where versions come from
is a setting of the server: --update-source. A new version that fails while it is on probation is taken back by itself.
Exit code 0 when the server is up to date, 1 when the update failed or was taken back. With --check it is 0 whether or
not there is a newer version, and 1 when the source cannot be asked: scripts look at --json, field available.isNewer,
and at bad, which has the versions that went wrong before.`,
  options,
  settings: connectionSettings,
  examples: [
    { line: 'sidecar update', what: 'to the latest version' },
    { line: 'sidecar update --check', what: 'is there one?' },
    { line: 'sidecar update --version 1.2.3 --allow-downgrade', what: 'back to that one' },
    { line: "sidecar update --check --json | jq -e '.available.isNewer'", what: 'for scripts' },
  ],
  run,
});

type UpdateFlags = Values<typeof options>;

async function run({ values, config }: Invocation<UpdateFlags>): Promise<number> {
  checkFlags(values);
  const { sidecar } = await connect(config);
  return values.check === true ? check(sidecar, values) : update(sidecar, values);
}

function checkFlags(values: UpdateFlags): void {
  if (values['allow-downgrade'] === true && values.version === undefined) {
    throw new UsageError('--allow-downgrade needs a --version', 'update');
  }
  const other = (['version', 'allow-downgrade', 'if-idle', 'no-wait'] as const).find(
    (name) => values[name] !== undefined,
  );
  if (values.check === true && other !== undefined) {
    throw new UsageError(`--check changes nothing: --${other} has no meaning`, 'update');
  }
}

async function check(sidecar: Sidecar, values: UpdateFlags): Promise<number> {
  const state = await sidecar.updates.get({ check: true });
  if (values.json === true) await printJson(state);
  else if (state.checkError === null) await printLine(oneLine(availableText(state)));
  if (state.checkError === null) return exitCodes.ok;
  printMessage(`${state.current} runs; ${state.source} cannot be asked: ${state.checkError}`);
  return exitCodes.failure;
}

function availableText({ current, available, source, bad }: UpdateState): string {
  if (available?.isNewer === true) {
    const { version } = available;
    const reason = bad.find((other) => other.version === version)?.reason;
    if (reason === undefined) return `${current} runs, ${version} is available (from ${source}): sidecar update`;
    return `${current} runs, and ${source} has ${version}, which went wrong before (${
      reason
    }); to try it again: sidecar update --version ${version}`;
  }
  if (available === null) return `${current} runs, and ${source} has nothing`;
  return `${current} runs, and ${source} has ${available.version === current ? 'the same' : available.version}`;
}

async function update(sidecar: Sidecar, values: UpdateFlags): Promise<number> {
  const before = await sidecar.updates.get();
  const answer = await sidecar.updates.begin(requestOf(values));
  if (values['no-wait'] === true) {
    await (values.json === true ? printJson(answer) : printLine(oneLine(answer.message)));
    return exitCodes.ok;
  }
  if (answer.status === 'current') {
    await (values.json === true ? printJson(await sidecar.updates.get()) : printLine(oneLine(answer.message)));
    return exitCodes.ok;
  }
  const { version } = answer;
  const since = before.lastOutcome?.at ?? 0;
  const after = await sidecar.updates.wait(version, { since, onProgress: printProgress });
  if (values.json === true) await printJson(after);
  if (after.current !== version) throw updateError(after, { version, since });
  if (values.json !== true) await printLine(oneLine(successText(before.current, after)));
  return exitCodes.ok;
}

function requestOf(values: UpdateFlags): UpdateOptions {
  return {
    ...defined({ version: values.version }),
    ...(values['allow-downgrade'] === true ? { allowDowngrade: true } : {}),
    ...(values['if-idle'] === true ? { ifIdle: true } : {}),
  };
}

function printProgress({ step, version }: UpdateProgress): void {
  const name = version ?? 'the new version';
  const words: { readonly [S in UpdateProgress['step']]: string } = {
    finding: `looking for ${name}`,
    downloading: `downloading ${name}`,
    verifying: `verifying ${name}`,
    unpacking: `unpacking ${name}`,
    starting: `starting ${name} beside the running one`,
    switching: `${name} is ready, the running one hands over`,
  };
  printMessage(words[step]);
}

function successText(from: string, { current, probation }: UpdateState): string {
  const watched = probation === null
    ? ''
    : `; it is on probation for ${Math.round(probation.endsAt - probation.startedAt)} s, and taken back if it fails`;
  return `updated from ${from} to ${current}${watched}`;
}

/**
 * The error to throw when a version other than the requested one runs in the end.
 *
 * @param order.since When the update before this one had ended, in Unix seconds.
 */
export function updateError(
  { current, progress, lastOutcome }: UpdateState, order: { readonly version: string; readonly since: number },
): CommandError {
  const { version, since } = order;
  if (progress) {
    return new CommandError(`The update to ${version} is still under way`, {
      hint: 'See: sidecar update --check --json',
    });
  }
  const hint = `${current} runs`;
  if (lastOutcome?.status === 'rolled_back') {
    const { from, reason, at } = lastOutcome;
    if (from === version) return new CommandError(`Took ${version} back: ${reason}`, { hint });
    // The order was lost with the server that had accepted it.
    if (at > since) {
      return new CommandError(
        `Cannot update to ${version}: ${
          from ?? 'the server'
        }, which was to carry it out, was itself taken back in the meantime (${reason})`,
        { hint },
      );
    }
  }
  const isNoted = lastOutcome?.status === 'failed' && lastOutcome.to === version;
  const reason = isNoted ? lastOutcome.reason : 'no reason was noted; look at the log of the server';
  return new CommandError(reason.startsWith('Cannot ') ? reason : `Cannot update to ${version}: ${reason}`, { hint });
}
