/**
 * `sidecar serve`: runs the server.
 * @module
 */
import { type Command, defineCommand } from '../command.ts';
import { CommandError } from '../failure.ts';

export const command: Command = defineCommand({
  name: 'serve',
  summary: 'Runs the server',
  usage: ['serve [flags]'],
  options: {},
  examples: [],
  run: async () => {
    throw new CommandError('Cannot serve: not written yet');
  },
});
