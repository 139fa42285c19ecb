/** Stands for a page in a browser: what tells Node from one is not there. Arguments: address, key, id of a terminal with a shell. */
import { Sidecar, type TerminalId } from '../../src/client/client.ts';

const [, , url = '', key = '', id] = process.argv;
const { stdout, exit } = process;
Object.defineProperty(globalThis, 'process', { value: undefined });
const sidecar = new Sidecar({ url, key });
const attachment = await sidecar.terminals.attach(id as TerminalId, {
  onAttached: ({ offset }) => void stdout.write(`attached ${offset}\n`),
  onOutput: (bytes) => void stdout.write(bytes),
});
await attachment.input('echo page $((2 + 3))\r');
await attachment.input('exit 6\r');
const end = await attachment.ended;
stdout.write(`end ${end?.exitCode} ${end?.reason}\n`, () => exit(0));
