/**
 * Finds holders without a terminal record: the file that names the holder was replaced, or its directory was renamed or
 * removed.
 * @module
 */
import { readlinkSync, realpathSync } from 'node:fs';
import { sep } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { liveProcesses } from '../../process/descendants.ts';
import { type Identity, isAliveNow, sendSignal, wordsOf } from '../../process/identity.ts';
import { terminate } from '../../process/terminate.ts';
import type { TerminalId } from '../../protocol/terminals.ts';
import { folderMark, parseHolderTitle } from '../record.ts';
import { graceMs } from './terminal-handle.ts';

export interface OrphanedHolder {
  readonly terminalId: TerminalId;
  readonly holder: Identity;
}

/** How long a holder may take to end its program and itself. */
const endMs = graceMs + 8000;
const lookMs = 100;

/**
 * Finds the holders of a folder of terminals: by their title, or by their working directory. Without `/proc` it finds
 * none.
 *
 * @param options.known Pids of the holders that have a record.
 * @param options.before Latest start time of the holders to find: earlier servers started them.
 * @throws The system's error where it cannot look.
 */
export async function findOrphanedHolders(
  terminals: string, { known, before }: { readonly known: ReadonlySet<number>; readonly before: number },
): Promise<readonly OrphanedHolder[]> {
  const place = { inside: `${realpathSync(terminals)}${sep}`, mark: folderMark(terminals) };
  return (await liveProcesses()).flatMap(({ pid, startTime }) => {
    const terminalId = known.has(pid) || Number(startTime) > before ? undefined : heldIn(pid, place);
    return terminalId === undefined ? [] : [{ terminalId, holder: { pid, startTime } }];
  });
}

/** Ends its terminal with all processes started in it. */
export async function endOrphanedHolder({ terminalId, holder }: OrphanedHolder): Promise<void> {
  // The holder ends its terminal on SIGTERM; if it is stopped, it needs SIGCONT to act on that.
  for (const signal of ['SIGTERM', 'SIGCONT'] as const) sendSignal(holder.pid, signal);
  const deadline = performance.now() + endMs;
  while (isAliveNow(holder) && performance.now() < deadline) await sleep(lookMs);
  await terminate({ id: terminalId, leader: undefined }, { signal: 'SIGHUP', graceMs });
  if (isAliveNow(holder)) sendSignal(holder.pid, 'SIGKILL');
}

/** The terminal of that folder whose holder the process is. A removed directory still has its path. */
function heldIn(
  pid: number,
  { inside, mark }: { readonly inside: string; readonly mark: string },
): TerminalId | undefined {
  try {
    const [title = ''] = wordsOf(pid);
    const found = parseHolderTitle(title);
    const isHere = found?.mark === mark || (found !== undefined && readlinkSync(`/proc/${pid}/cwd`).startsWith(inside));
    return isHere ? found?.id : undefined;
  } catch {
    // The process ended meanwhile, or belongs to another user.
    return undefined;
  }
}
