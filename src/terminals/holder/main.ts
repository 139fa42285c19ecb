/**
 * The program of a holder: holds one terminal.
 *
 * - Started by: a server, through `server/start.ts`, as a detached process.
 * - Talks by: its configuration on stdin, the result of its start on descriptor 3, then the Unix socket in the
 *   terminal's directory (`frames.ts`) and the files there (`record.ts`).
 * - Outlives: the server that started it, and every later one; it ends with its terminal.
 * @module
 */
import { closeSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { holderTitle, type TerminalRecord } from '../record.ts';
import { Holder, type HolderConfig } from './holder.ts';

/** The result of a start: one line of JSON. */
export type HolderStartResult = { readonly record: TerminalRecord } | { readonly error: string };

const resultFd = 3;

// The configuration needs no check: it comes from the server that started this process, of the same version.
const config = JSON.parse(readFileSync(0, 'utf8')) as HolderConfig;
for (const signal of ['SIGINT', 'SIGHUP', 'SIGPIPE'] as const) process.on(signal, () => undefined);
try {
  process.title = holderTitle(config.about.terminalId, dirname(config.directory));
  const { holder, record } = await Holder.open(config);
  process.on('SIGTERM', () => void holder.end('closed'));
  report({ record });
} catch (error) {
  report({ error: (error as Error).message });
  process.exit(1);
}

function report(result: HolderStartResult): void {
  try {
    writeSync(resultFd, `${JSON.stringify(result)}\n`);
    closeSync(resultFd);
  } catch {
    // EPIPE: the server is gone. The next one finds the terminal.
  }
}
