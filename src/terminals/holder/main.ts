/**
 * The program of a holder: reads its order from stdin, reports the outcome on descriptor 3, and runs until the terminal
 * has ended.
 * @module
 */
import { closeSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { holderTitle, type TerminalRecord } from '../record.ts';
import { Holder, type HolderConfig } from './holder.ts';

/** The outcome: one line of JSON. */
export type HolderStartResult = { readonly record: TerminalRecord } | { readonly error: string };

const wordFd = 3;

// The order needs no check: it comes from the server that started this process, of the same version.
const order = JSON.parse(readFileSync(0, 'utf8')) as HolderConfig;
for (const signal of ['SIGINT', 'SIGHUP', 'SIGPIPE'] as const) process.on(signal, () => undefined);
try {
  process.title = holderTitle(order.about.terminalId, dirname(order.directory));
  const { holder, record } = await Holder.open(order);
  process.on('SIGTERM', () => void holder.end('closed'));
  say({ record });
} catch (error) {
  say({ error: (error as Error).message });
  process.exit(1);
}

function say(word: HolderStartResult): void {
  try {
    writeSync(wordFd, `${JSON.stringify(word)}\n`);
    closeSync(wordFd);
  } catch {
    // EPIPE: the server is gone. The next one finds the terminal.
  }
}
