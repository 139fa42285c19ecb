/**
 * The program `carrier-main FILE PROGRAM ARGUMENT…`: runs a program with the environment that the file holds, and exits
 * as that does. The program is in the same process group, so a signal to the group reaches both; the carrier ignores
 * the signals and waits for the program.
 * @module
 */
import { spawn } from 'node:child_process';
import { existsSync, rmSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { errorCode } from '../../base/error-code.ts';
import { appendRegular, readRegular } from '../../base/files/untrusted-file.ts';
import { spawnErrorText } from '../spawn-error.ts';
import type { Carried } from './carry.ts';

const [, , path = '', file = '', ...args] = process.argv;
const maxBytes = 64 * 2 ** 20;
const stderrFd = 2;
/** Includes SIGUSR1, which would open Node's inspector. */
const signals = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM'] as const;

for (const signal of signals) process.on(signal, () => undefined);
const { env } = JSON.parse(readRegular(path, maxBytes).toString()) as Carried;
rmSync(path);
const child = spawn(file, args, { env, stdio: 'inherit' });
child.once('error', fail);
child.once('exit', (code, signal) => process.exit(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));

/** Reports a failed start as a launcher does where it cannot become the program. */
function fail(error: Error): void {
  const isMissing = errorCode(error) === 'ENOENT';
  writeSync(
    stderrFd,
    `sidecar: ${file}: ${isMissing ? 'not found' : spawnErrorText(error, { file, cwd: process.cwd() })}\n`,
  );
  const note = join(dirname(path), 'process');
  if (existsSync(note)) appendRegular(note, 'failed\n');
  process.exit(isMissing ? 127 : 126);
}
