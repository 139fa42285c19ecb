/**
 * The program of an agent's job: `runner-main DIRECTORY`, the directory being that of the job. Reads its order there and commands on stdin, writes the
 * agent's message to stdout.
 *
 * SIGTERM ends the turn by the book and then the agent.
 * @module
 */
import { fstatSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { appendLine, readRegular } from '../base/untrusted-file.ts';
import { ndjson } from '../jsonrpc/ndjson.ts';
import { type AgentOrder, type RunnerCommand, orderFile } from './order.ts';
import { JobFiles } from './job-files.ts';
import { AgentRunner } from './runner.ts';

const [, , directory = '.'] = process.argv;
const stdoutFd = 1;
/** Longer than any that the server tells. */
const maxCommandBytes = 64 * 2 ** 20;
const maxOrderBytes = 64 * 2 ** 20;
const signals = { SIGTERM: 143, SIGINT: 130, SIGHUP: 129 } as const;

// The order is that of the server that started this job, of the same version.
const order = JSON.parse(readRegular(join(directory, orderFile), maxOrderBytes).toString()) as AgentOrder;
process.title = `sidecar-agent ${order.mark}`;
const files = new JobFiles(directory);
const runner = new AgentRunner({ order, sink: {
  event: (event) => files.event(event),
  state: (state) => files.state(state),
  turn: (turn) => files.turn(turn),
  textEnd: () => fstatSync(stdoutFd).size,
  text: (text) => {
    const bytes = Buffer.from(text);
    // On a disk that is nearly full a write may be short.
    for (let written = 0; written < bytes.length;) written += writeSync(stdoutFd, bytes, written);
  },
  // Clients that know nothing of acpError look there.
  failure: (message) => appendLine(join(directory, 'stderr'), message),
} });

let exitCode: number | undefined;
for (const [signal, code] of Object.entries(signals)) {
  process.on(signal, () => {
    exitCode ??= code;
    void runner.end();
  });
}
// Node would open its inspector for whoever is on this machine.
process.on('SIGUSR1', () => undefined);
// Not by Node's readline, which from 22 on ends a line at U+2028, too: a prompt may hold that.
const lines = ndjson.decoder(maxCommandBytes);
process.stdin.on('data', (chunk: Buffer) => {
  try {
    for (const line of lines.push(chunk)) take(line);
  } catch {
    // Nobody of ours says anything so long: what goes on is not understood any more, and the agent need not end for that.
  }
});
// Whoever told it things has gone.
process.stdin.on('error', () => undefined);

function take(line: string): void {
  try {
    runner.take(JSON.parse(line) as RunnerCommand);
  } catch {
    // Half a line, of a server that was killed as it wrote.
  }
}

const outcome = await runner.run();
files.close();
process.exit(exitCode ?? outcome);
