/**
 * The program of an agent's job: `runner/main DIRECTORY`, where DIRECTORY is that of the job.
 *
 * - Started by: the launcher of jobs, for a job in mode `acp` (see `prepare` in `server/runner-setup.ts`).
 * - Talks by: files in DIRECTORY (see `runner-config.ts`), commands on stdin, one a line, and the agent's message on
 *   stdout. The agent, its child, speaks the Agent Client Protocol on its own stdin and stdout.
 * - Outlives: the server that started it, and later servers. It ends with its agent; SIGTERM, SIGINT and SIGHUP cancel
 *   the turn and then end the agent.
 * @module
 */
import { fstatSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { appendLine, readRegular } from '../../base/files/untrusted-file.ts';
import { ndjson } from '../../jsonrpc/ndjson.ts';
import { type RunnerConfig, type RunnerCommand, runnerConfigFile } from '../runner-config.ts';
import { JobFiles } from './job-files.ts';
import { AgentRunner } from './runner.ts';

const [, , directory = '.'] = process.argv;
const stdoutFd = 1;
/** Longer than any command of the server. */
const maxCommandBytes = 64 * 2 ** 20;
const maxConfigBytes = 64 * 2 ** 20;
const signals = { SIGTERM: 143, SIGINT: 130, SIGHUP: 129 } as const;

// The configuration was written by the server that started this job, which has the same version.
const config = JSON.parse(readRegular(join(directory, runnerConfigFile), maxConfigBytes).toString()) as RunnerConfig;
process.title = `sidecar-agent ${config.mark}`;
const files = new JobFiles(directory);
const runner = new AgentRunner({ config, sink: {
  event: (event) => files.event(event),
  state: (state) => files.state(state),
  turn: (turn) => files.turn(turn),
  textEnd: () => fstatSync(stdoutFd).size,
  text: (text) => {
    const bytes = Buffer.from(text);
    // On a nearly full disk a write may be short.
    for (let written = 0; written < bytes.length;) written += writeSync(stdoutFd, bytes, written);
  },
  // For clients that do not know acpError.
  failure: (message) => appendLine(join(directory, 'stderr'), message),
} });

let exitCode: number | undefined;
for (const [signal, code] of Object.entries(signals)) {
  process.on(signal, () => {
    exitCode ??= code;
    void runner.end();
  });
}
// Node would open its inspector to every user of this machine.
process.on('SIGUSR1', () => undefined);
// Node's readline is not used: from version 22 on it also ends a line at U+2028, which a prompt may contain.
const lines = ndjson.decoder(maxCommandBytes);
process.stdin.on('data', (chunk: Buffer) => {
  try {
    for (const line of lines.push(chunk)) take(line);
  } catch {
    // The server sends no line of this length. The rest of the input cannot be understood, but the agent need not end.
  }
});
// The process that wrote the commands has ended.
process.stdin.on('error', () => undefined);

function take(line: string): void {
  try {
    runner.take(JSON.parse(line) as RunnerCommand);
  } catch {
    // A partial line of a server that was killed while it wrote.
  }
}

const outcome = await runner.run();
files.close();
process.exit(exitCode ?? outcome);
