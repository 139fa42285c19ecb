/**
 * Shows a job that has a terminal in the local terminal: each key goes to the job, and the job's terminal has the size
 * of the window.
 * @module
 */
import type { JobId, Sidecar, TerminalSize } from '../../client/client.ts';
import { ScreenState } from '../../terminals/holder/screen-state.ts';
import { attach } from '../follow/follow-job.ts';
import type { DetachKeys } from '../terminals/detach-keys.ts';
import { exitCodes } from '../failure.ts';
import type { Interrupts } from '../follow/interrupts.ts';
import { LocalTerminal } from '../terminals/local-terminal.ts';
import { isTyped, printMessage } from '../io/print.ts';
import { deliver } from '../follow/stdin.ts';
import { writeStderr } from '../io/streams.ts';
import { windowSize } from '../terminals/terminal-window.ts';

export interface TtyOptions {
  readonly interrupts: Interrupts;
  readonly detachKeys: DetachKeys;
  readonly isStdinForwarded: boolean;
}

/** VEOF of termios(3): ends the input when it is alone on a line. */
const endOfInput = 0x04;
const newline = 0x0a;

/** Resolves with the exit code of the job, or 0 when the user detached. @throws As `attach`. */
export async function attachTty(sidecar: Sidecar, id: JobId, options: TtyOptions): Promise<number> {
  const { interrupts, isStdinForwarded } = options;
  const detached = new AbortController();
  const leaving = AbortSignal.any([interrupts.leaving, detached.signal]);
  const modes = new ScreenState();
  const isInteractive = isStdinForwarded && isTyped();
  const local = isInteractive ? new LocalTerminal() : undefined;
  local?.makeRaw(() => modes.undo());
  const unfollow = isInteractive ? followSize(sidecar, id, leaving) : () => undefined;
  if (isStdinForwarded) void forwardKeys(sidecar, id, { ...options, leaving, detach: () => detached.abort() });
  try {
    const exitCode = await attach(sidecar, id, {
      interrupts: {
        leaving,
        setTarget: (...target) => interrupts.setTarget(...target),
        cancel: (signal) => interrupts.cancel(signal),
        close: () => interrupts.close(),
      },
      isStdinForwarded: false,
      onWritten: (bytes) => modes.feed(bytes),
      // Messages about the end must not appear on the alternate screen.
      onEnded: () => local?.restore(),
    });
    if (!detached.signal.aborted) return exitCode;
  } finally {
    unfollow();
    local?.restore();
    process.stdin.pause();
  }
  writeStderr('\n');
  printMessage(`left job ${id}, which continues; "sidecar logs -f ${id}" follows it, "sidecar kill ${id}" ends it`);
  return exitCodes.ok;
}

/** Sends one change at a time; the last size wins. */
function followSize(sidecar: Sidecar, id: JobId, signal: AbortSignal): () => void {
  let wanted: TerminalSize | undefined;
  let isBusy = false;
  const send = async (): Promise<void> => {
    isBusy = true;
    while (wanted !== undefined) {
      const size = wanted;
      wanted = undefined;
      // Where the size cannot be changed, as on macOS, it stays.
      await sidecar.jobs.resize(id, size, { signal }).catch(() => undefined);
    }
    isBusy = false;
  };
  const onResize = (): void => {
    wanted = windowSize();
    if (!isBusy) void send();
  };
  process.stdout.on('resize', onResize);
  return () => void process.stdout.off('resize', onResize);
}

interface KeyOptions extends TtyOptions {
  readonly leaving: AbortSignal;
  readonly detach: () => void;
}

async function forwardKeys(
  sidecar: Sidecar, id: JobId, { detachKeys, leaving, detach, interrupts }: KeyOptions,
): Promise<void> {
  let last = newline;
  try {
    for await (const chunk of process.stdin) {
      const { bytes, isDetached } = isTyped()
        ? detachKeys.take(chunk as Buffer)
        : { bytes: chunk as Buffer, isDetached: false };
      if (bytes.length > 0 && !await deliverKeys(sidecar, id, bytes, leaving)) return;
      if (isDetached) return detach();
      last = bytes.at(-1) ?? last;
    }
    const rest = last === newline ? new Uint8Array() : Uint8Array.of(endOfInput);
    await deliver(sidecar, id, rest, { eof: true, signal: leaving });
  } catch (error) {
    if (leaving.aborted) return;
    printMessage(`stdin is no longer forwarded: ${(error as Error).message}`);
    if (!isTyped()) interrupts.cancel();
  }
}

/** Reports keys that a lost server may have missed; later keys are still sent. `false`: the job accepts no more. */
async function deliverKeys(sidecar: Sidecar, id: JobId, bytes: Uint8Array, signal: AbortSignal): Promise<boolean> {
  try {
    return await deliver(sidecar, id, bytes, { eof: false, signal });
  } catch (error) {
    if (signal.aborted || !isTyped()) throw error;
    printMessage(`the last ${bytes.length} bytes were perhaps not typed: ${(error as Error).message}`);
    return true;
  }
}
