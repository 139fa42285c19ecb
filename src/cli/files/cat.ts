/**
 * `sidecar cat`: prints files of the machine.
 * @module
 */
import { type Command, type Invocation, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { exitCodes } from '../failure.ts';
import { OutputError, write } from '../io/streams.ts';
import { reportFailures } from '../report-failures.ts';

export const command: Command = defineCommand({
  name: 'cat',
  summary: 'Print files of the machine',
  usage: ['cat [flags] PATH…'],
  about: `PATH is absolute, or relative to the working directory of the server. The bytes are passed on as they are, one
file after the other. Exit code 1 when one cannot be read; the others are printed all the same.`,
  options: {},
  settings: connectionSettings,
  arity: { min: 1, max: Infinity },
  examples: [
    { line: 'sidecar cat /etc/os-release', what: 'one file' },
    { line: 'sidecar cat app.log | grep -i error', what: 'search one' },
    { line: 'sidecar cat dump.gz | zcat | head', what: 'ends where the reader has enough' },
  ],
  run,
});

async function run({ args, config }: Invocation<object>): Promise<number> {
  const { sidecar } = await connect(config);
  let exitCode: number = exitCodes.ok;
  for (const path of args) {
    try {
      const { body } = await sidecar.files.read(path);
      for await (const piece of body) await write(piece);
    } catch (error) {
      if (error instanceof OutputError || args.length === 1) throw error;
      exitCode = reportFailures([{ status: 'rejected', reason: error }]);
    }
  }
  return exitCode;
}
