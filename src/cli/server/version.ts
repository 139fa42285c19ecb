/**
 * `sidecar version`: prints the version of this program and of the server.
 * @module
 */
import type { Config } from '../../config/config.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { explain } from '../failure.ts';
import { newerProgram } from '../installed-program.ts';
import { sharedOptions } from '../options.ts';
import { printJson, printLine } from '../io/print.ts';
import { ownVersion } from '../../process/own-version.ts';

const options = { json: sharedOptions.json } as const;

export const command: Command = defineCommand({
  name: 'version',
  summary: 'Print the version of this program, and of the server if it can be reached',
  usage: ['version [flags]'],
  options,
  settings: connectionSettings,
  isAboutItself: true,
  examples: [{ line: 'sidecar version --json', what: 'for programs' }],
  run,
});

async function run({ values, config }: Invocation<Values<typeof options>>): Promise<number> {
  const server = await serverVersion(config);
  const installed = newerProgram(config.stateDir);
  if (values.json === true) {
    await printJson({ version: ownVersion(), node: process.version, installed: installed ?? null, server });
    return 0;
  }
  await printLine(`sidecar ${ownVersion()} (Node ${process.version})`);
  if (installed !== undefined) {
    await printLine(`update  ${installed.version}, which carries out the commands: ${installed.main}`);
  }
  const text = server.version === undefined ? `unknown: ${server.error}` : `${server.version} at ${server.url}`;
  await printLine(`server  ${text}`);
  return 0;
}

type ServerVersion =
  | { readonly url: string; readonly version: string; readonly pid: number }
  /** No server answers, or it does not tell its version. */
  | { readonly version?: undefined; readonly error: string };

async function serverVersion(config: Config): Promise<ServerVersion> {
  try {
    const { sidecar, url } = await connect(config);
    const health = await sidecar.health();
    if (health.authenticated) return { url, version: health.version, pid: health.pid };
    return { error: `${url} tells it only with the key` };
  } catch (error) {
    return { error: explain(error).lines[0] ?? '' };
  }
}
