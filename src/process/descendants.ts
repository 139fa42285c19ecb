/**
 * The processes of a job, wherever they went: found by its process group and by its mark in their environment.
 * @module
 */
import { readdir, readFile } from 'node:fs/promises';
import { type Identity, parseStat, type ProcessStat } from './identity.ts';

/** The variable that marks every process of a job. */
export const markName = 'SIDECAR_JOB_ID';

/** A job, as its processes are known. */
export interface Family {
  readonly id: string;
  /** The job's first process, which named the group; `undefined` where it never started. */
  readonly leader: Identity | undefined;
}

/** How many processes are read before others get their turn. */
const atOnce = 32;

/**
 * Looks once through all processes. Where there is no `/proc` it finds nobody.
 *
 * @throws the system's error where it cannot look (EMFILE): then nobody knows who is there.
 * @returns for each family that has any, its live processes.
 */
export async function findProcesses(families: readonly Family[]): Promise<Map<string, ProcessStat[]>> {
  const found = new Map<string, ProcessStat[]>();
  if (families.length === 0 || process.platform !== 'linux') return found;
  const byMark = new Map(families.map((family) => [family.id, family]));
  const byGroup = new Map(families.flatMap((family) => (family.leader ? [[family.leader.pid, family] as const] : [])));
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  for (let index = 0; index < pids.length; index += atOnce) {
    const some = await Promise.all(pids.slice(index, index + atOnce).map((pid) => look(pid, byMark, byGroup)));
    for (const one of some) {
      if (one) found.set(one.id, [...(found.get(one.id) ?? []), one.stat]);
    }
  }
  for (const { id, leader } of families) {
    const stats = found.get(id);
    if (stats && leader) found.set(id, stats.filter((stat) => isOurs(stat, leader)));
  }
  return found;
}

async function look(
  pid: string,
  byMark: ReadonlyMap<string, Family>,
  byGroup: ReadonlyMap<number, Family>,
): Promise<{ id: string; stat: ProcessStat } | undefined> {
  try {
    const stat = parseStat(await readFile(`/proc/${pid}/stat`, 'latin1'));
    if (!stat || stat.state === 'Z' || stat.state === 'X') return undefined;
    const family = byGroup.get(stat.groupId) ?? byMark.get(markOf(await readFile(`/proc/${pid}/environ`, 'latin1')));
    return family && { id: family.id, stat };
  } catch (error) {
    // It ended meanwhile, or belongs to another user: not one of ours in either case.
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

function markOf(environment: string): string {
  const start = environment.startsWith(`${markName}=`) ? 0 : environment.indexOf(`\0${markName}=`) + 1;
  if (start === 0 && !environment.startsWith(`${markName}=`)) return '';
  const end = environment.indexOf('\0', start);
  return environment.slice(start + markName.length + 1, end < 0 ? undefined : end);
}

/** Where the pid of the leader was used again, the group of that name is somebody else's. */
function isOurs(stat: ProcessStat, leader: Identity): boolean {
  return stat.pid !== leader.pid || stat.startTime === leader.startTime;
}
