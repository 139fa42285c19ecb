/**
 * Holders that no terminal knows any more: somebody replaced the file that names the holder, or renamed or removed its directory.
 * @module
 */
import { readlinkSync, realpathSync } from 'node:fs';
import { sep } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { liveProcesses } from '../process/descendants.ts';
import { type Identity, isAliveNow, sendSignal, wordsOf } from '../process/identity.ts';
import { terminate } from '../process/terminate.ts';
import type { TerminalId } from '../protocol/terminals.ts';
import { folderMark, parseHolderTitle } from './record.ts';
import { graceMs } from './terminal.ts';

export interface Stray {
  readonly terminalId: TerminalId;
  readonly holder: Identity;
}

/** How long a holder may take to end its program and itself. */
const endMs = graceMs + 8000;
const lookMs = 100;

/**
 * Looks for the holders of a folder of terminals: they say so, or work in it. Where there is no `/proc` it finds none.
 *
 * @param options.known The pids of those that have their terminal.
 * @param options.before The latest start time of those that are looked for: an earlier server started them.
 * @throws the system's error where it cannot look.
 */
export async function findStrays(
  terminals: string, { known, before }: { readonly known: ReadonlySet<number>; readonly before: number },
): Promise<readonly Stray[]> {
  const place = { inside: `${realpathSync(terminals)}${sep}`, mark: folderMark(terminals) };
  return (await liveProcesses()).flatMap(({ pid, startTime }) => {
    const terminalId = known.has(pid) || Number(startTime) > before ? undefined : heldIn(pid, place);
    return terminalId === undefined ? [] : [{ terminalId, holder: { pid, startTime } }];
  });
}

/** Ends its terminal with all that was started there. */
export async function endStray({ terminalId, holder }: Stray): Promise<void> {
  // The holder ends what it holds; one that was stopped acts on that only once it goes on.
  for (const signal of ['SIGTERM', 'SIGCONT'] as const) sendSignal(holder.pid, signal);
  const deadline = performance.now() + endMs;
  while (isAliveNow(holder) && performance.now() < deadline) await sleep(lookMs);
  await terminate({ id: terminalId, leader: undefined }, { signal: 'SIGHUP', graceMs });
  if (isAliveNow(holder)) sendSignal(holder.pid, 'SIGKILL');
}

/** The terminal of that folder whose holder the process is. A directory that was removed still has its path. */
function heldIn(pid: number, { inside, mark }: { readonly inside: string; readonly mark: string }): TerminalId | undefined {
  try {
    const [title = ''] = wordsOf(pid);
    const found = parseHolderTitle(title);
    const isHere = found?.mark === mark || (found !== undefined && readlinkSync(`/proc/${pid}/cwd`).startsWith(inside));
    return isHere ? found?.id : undefined;
  } catch {
    // It ended meanwhile, or belongs to another user.
    return undefined;
  }
}
