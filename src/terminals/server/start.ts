/**
 * Starts a holder of this version, by the path of its own files.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { dirname, join } from 'node:path';
import { openToAppend } from '../../base/files/untrusted-file.ts';
import { withoutNodeOptions } from '../../process/environment/shell-variables.ts';
import { ownProgram } from '../../process/own-program.ts';
import { withJobPriority } from '../../process/priority.ts';
import type { HolderConfig } from '../holder/holder.ts';
import type { HolderStartResult } from '../holder/main.ts';
import type { TerminalRecord } from '../record.ts';

const program = ownProgram(import.meta.url, '../holder/main');
const startMs = 15_000;

/**
 * A holder is nearly always idle: a small young generation keeps it small under load too, and without pool threads it
 * has fewer stacks. Most of the 44 MB that it seems to use are pages of Node itself, which all Node processes share: 8
 * MB are its own.
 */
const memoryFlags = ['--max-semi-space-size=1', '--max-old-space-size=64', '--v8-pool-size=0'];

/** Resolves once the program runs. @throws The system's error, such as EMFILE; Error where it cannot be started. */
export async function startHolder(
  config: HolderConfig,
  env: { readonly [name: string]: string },
): Promise<TerminalRecord> {
  const log = openToAppend(join(config.directory, 'log'));
  let child: ChildProcess;
  try {
    child = spawn(program.file, [...program.loaders, ...memoryFlags, program.path], {
      cwd: dirname(program.path), env: withoutNodeOptions(env), stdio: ['pipe', 'ignore', log, 'pipe'], detached: true,
    });
  } finally {
    closeSync(log);
  }
  // Where no file descriptors are left, the child has no streams; the reason follows.
  if (child.pid === undefined) throw (await once(child, 'error') as [Error])[0];
  withJobPriority(child.pid);
  child.unref();
  const [stdin, , , results] = child.stdio as unknown as [Writable, null, null, Readable];
  stdin.on('error', () => undefined);
  stdin.end(JSON.stringify(config));
  const result = await readResult(child, results);
  if ('error' in result) throw new Error(result.error);
  return result.record;
}

async function readResult(child: ChildProcess, stream: Readable): Promise<HolderStartResult> {
  let text = '';
  const overdue = setTimeout(() => child.kill('SIGKILL'), startMs);
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      stream.on('error', reject);
      stream.on('data', (chunk: Buffer) => { text += chunk.toString(); });
      stream.once('close', resolve);
    });
    return JSON.parse(text) as HolderStartResult;
  } catch (error) {
    throw new Error('Cannot start the holder of the terminal: it ended without a result', { cause: error });
  } finally {
    clearTimeout(overdue);
  }
}
