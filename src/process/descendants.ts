/**
 * The processes of a job, wherever they went: found by its process group and by its mark in their environment.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Identity, parseStat, type ProcessStat } from './identity.ts';

/** The variable that marks every process of a job. */
export const markName = 'SIDECAR_JOB_ID';

/** A job, as its processes are known. */
export interface Family {
  readonly id: string;
  /** The job's first process, which named the group; `undefined` where it never started. */
  readonly leader: Identity | undefined;
}

/** A process, and the mark in the environment that it was started with; `undefined` without one. */
export interface MarkedProcess {
  readonly stat: ProcessStat;
  readonly mark: string | undefined;
}

/** For how long processes are read before others get their turn. */
const sliceMs = 1;

/**
 * Looks once through all processes. Where there is no `/proc` it finds nobody.
 *
 * @throws the system's error where it cannot look (EMFILE): then nobody knows who is there.
 * @returns for each family that has any, its live processes.
 */
export async function findProcesses(families: readonly Family[]): Promise<Map<string, ProcessStat[]>> {
  const found = new Map<string, ProcessStat[]>();
  if (families.length === 0) return found;
  const byMark = new Map(families.map((family) => [family.id, family]));
  const byGroup = new Map(families.flatMap((family) => (family.leader ? [[family.leader.pid, family] as const] : [])));
  await eachProcess((stat, markOf) => {
    const family = byGroup.get(stat.groupId) ?? ofMark(byMark, markOf());
    if (family) found.set(family.id, [...(found.get(family.id) ?? []), stat]);
  });
  for (const { id, leader } of families) {
    const stats = found.get(id);
    if (!stats || !leader) continue;
    const ours = withoutStrangers(stats, leader);
    if (ours.length > 0) found.set(id, ours);
    else found.delete(id);
  }
  return found;
}

/**
 * The first process of a job, where nothing but its mark tells: the oldest one that leads a group.
 *
 * @throws as {@link findProcesses}.
 */
export async function findLeader(id: string): Promise<Identity | undefined> {
  const found = (await findProcesses([{ id, leader: undefined }])).get(id) ?? [];
  // This server may be the job of another one.
  const leaders = found.filter(({ pid, groupId }) => pid === groupId && pid !== process.pid);
  const [oldest] = leaders.sort((a, b) => Number(a.startTime) - Number(b.startTime));
  return oldest && { pid: oldest.pid, startTime: oldest.startTime };
}

function ofMark(byMark: ReadonlyMap<string, Family>, mark: string | undefined): Family | undefined {
  return mark === undefined ? undefined : byMark.get(mark);
}

/** All live processes that can be looked at. @throws as {@link findProcesses}. */
export async function markedProcesses(): Promise<readonly MarkedProcess[]> {
  const all: MarkedProcess[] = [];
  await eachProcess((stat, markOf) => all.push({ stat, mark: markOf() }));
  return all;
}

/** Reads synchronously, a slice of time after the other: 15 µs a process, where the thread pool would take 220. */
async function eachProcess(visit: (stat: ProcessStat, markOf: () => string | undefined) => void): Promise<void> {
  if (process.platform !== 'linux') return;
  let sliceEndsAt = performance.now() + sliceMs;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    look(pid, visit);
    if (performance.now() < sliceEndsAt) continue;
    await nextTurn();
    sliceEndsAt = performance.now() + sliceMs;
  }
}

function look(pid: string, visit: Parameters<typeof eachProcess>[0]): void {
  try {
    const stat = parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
    if (!stat || stat.state === 'Z' || stat.state === 'X') return;
    visit(stat, () => markIn(readFileSync(`/proc/${pid}/environ`, 'latin1')));
  } catch (error) {
    // It ended meanwhile, or belongs to another user: not one of ours in either case.
    if (!['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/** An environment is `NAME=value` ended by NUL, again and again (proc(5)). */
function markIn(environment: string): string | undefined {
  const start = `\0${environment}`.indexOf(`\0${markName}=`);
  if (start < 0) return undefined;
  const end = environment.indexOf('\0', start);
  return environment.slice(start + markName.length + 1, end < 0 ? undefined : end);
}

/** Where somebody else has the pid of the leader by now, the group of that number is not ours either. */
function withoutStrangers(stats: readonly ProcessStat[], leader: Identity): ProcessStat[] {
  const isReused = stats.some(({ pid, startTime }) => pid === leader.pid && startTime !== leader.startTime);
  return stats.filter(({ groupId }) => !isReused || groupId !== leader.pid);
}
