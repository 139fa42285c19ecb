/**
 * Starts a real server of another project, and ends it by its pid with the test.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { atEnd } from './server.ts';
import { until } from './wait.ts';

/** Debian keeps servers where only root's PATH looks. */
export const searchPath: string = `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/local/sbin`;

export interface Daemon {
  readonly argv: readonly [file: string, ...args: string[]];
  /** It starts there, and its output goes to the file `out` in it. */
  readonly folder: string;
  /** On 127.0.0.1. */
  readonly port: number;
  /** What it has said, for the message of a failure. */
  readonly said: () => string;
}

/** Resolves once it listens. @throws Error with what it has said where it ends. */
export async function startDaemon(t: TestContext, { argv: [file, ...args], folder, port, said }: Daemon): Promise<void> {
  const fd = openSync(join(folder, 'out'), 'a');
  const child = spawn(file, args, { cwd: folder, stdio: ['ignore', fd, fd], env: { ...process.env, PATH: searchPath } });
  closeSync(fd);
  const exited = once(child, 'exit');
  atEnd(t, async () => {
    child.kill('SIGTERM');
    await exited;
  });
  await until(async () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${file} ended: ${said()}`);
    return accepts(port);
  }, { what: `${file} listens` });
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
