/** Runs npm or tsc quietly: their output is kept, to be shown if they fail. @module */
import { spawn } from 'node:child_process';

/** A failure that its message explains: it is shown without a stack. */
export class SetupError extends Error {}

const signals = ['SIGINT', 'SIGTERM'];

/**
 * @param options.held The lock of the set-up: held until the tool has ended as well.
 * @param options.env Added to the environment.
 * @returns `ok`, the `output` with a newline at its end, and how it `ended`, in words.
 */
export function run(command, args, { root, held, env = {} }) {
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // On Windows npm on PATH is a .cmd, which only a shell can start; no argument needs quoting.
    shell: process.platform === 'win32' && command === 'npm',
    windowsHide: true,
  });
  held?.include(child.pid);
  const chunks = [];
  child.stdout.on('data', (chunk) => chunks.push(chunk));
  child.stderr.on('data', (chunk) => chunks.push(chunk));
  const stopListening = endTogether(child);
  return new Promise((resolve) => {
    const finish = (ended) => {
      stopListening();
      resolve({ ok: ended === 'exit code 0', ended, output: endLine(Buffer.concat(chunks).toString()) });
    };
    child.once('error', (error) => finish(error.code));
    child.once('close', (code, signal) => finish(signal ?? `exit code ${code}`));
  });
}

/** Passes a signal that ends the set-up on to the tool. The lock is free once both are gone. */
function endTogether(child) {
  const end = (signal) => {
    stop();
    child.kill(signal);
    process.kill(process.pid, signal);
  };
  const stop = () => signals.forEach((signal) => process.off(signal, end));
  signals.forEach((signal) => process.on(signal, end));
  return stop;
}

function endLine(text) {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}
