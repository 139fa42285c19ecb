/**
 * Finds all processes of a job: by its process group, by its mark in their environment, and as descendants of those.
 * @module
 */
import { readdirSync } from 'node:fs';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { type Identity, isOutOfReach, memoryOf, parseMemory, parseStat, type ProcessStat } from './identity.ts';
import { readProcFile, readProcFileLater } from './proc-file.ts';
import { errorCode } from '../base/error-code.ts';

/** The variable that marks every process of a job. */
export const markName = 'SIDECAR_JOB_ID';

/** A job, with what identifies its processes. */
export interface Family {
  readonly id: string;
  /** The job's first process, which names the group; `undefined` where it never started. */
  readonly leader: Identity | undefined;
  /** Processes that an earlier look found. They belong to the job until they end, even without its mark or group. */
  readonly known?: readonly Identity[];
}

/** A process, and the mark in the environment that it was started with; `undefined` without a mark. */
export interface MarkedProcess {
  readonly stat: ProcessStat;
  readonly mark: string | undefined;
}

/** How long processes are read before the event loop gets a turn. */
const sliceMs = 1;
/** How long a look waits for processes that are in an exec: their mark cannot be read until it is over. */
const execMs = 1000;
const execLookMs = 1;

/** How many environments are read at once. */
const readsAtOnce = 4;
/** Initial buffer for an environment: nearly all are shorter. */
const environmentBytes = 16_384;

/** The mark of a process; valid until its next exec, which sets the environment again. */
interface Mark {
  readonly program: string;
  readonly value: string | undefined;
}

/** By pid, the marks found by the last look. An environment that stayed empty for {@link execMs} counts as no mark. */
const marks = new Map<number, Mark>();

/**
 * Looks once through all processes. Where there is no `/proc` it finds no processes.
 *
 * @throws the system's error where it cannot look (EMFILE): then it is unknown which processes there are.
 * @returns the live processes of each family that has any.
 */
export async function findProcesses(families: readonly Family[]): Promise<Map<string, ProcessStat[]>> {
  const found = new Map<string, ProcessStat[]>();
  if (families.length === 0) return found;
  const byMark = new Map(families.map((family) => [family.id, family]));
  const byGroup = new Map(families.flatMap((family) => (family.leader ? [[family.leader.pid, family] as const] : [])));
  const known = knownIn(families);
  const unmarked = new Map<number, ProcessStat>();
  await eachProcess((stat, markOf) => {
    unmarked.delete(stat.pid);
    let family = byGroup.get(stat.groupId) ?? known(stat);
    if (!family) {
      const mark = markOf();
      if (mark === undefined) unmarked.set(stat.pid, stat);
      else family = byMark.get(mark);
    }
    if (family) found.set(family.id, [...(found.get(family.id) ?? []), stat]);
  });
  for (const { id, leader } of families) {
    const stats = found.get(id);
    const ours = stats && leader ? withoutStrangers(stats, leader) : stats ?? [];
    if (ours.length > 0) found.set(id, [...ours, ...below(ours, unmarked)]);
    else found.delete(id);
  }
  return found;
}

/** Descendants of the job's processes without a mark: they left its group and its environment (`env -i setsid`). */
function below(ours: readonly ProcessStat[], unmarked: ReadonlyMap<number, ProcessStat>): readonly ProcessStat[] {
  const pids = new Set(ours.map(({ pid }) => pid));
  const found: ProcessStat[] = [];
  for (let before = -1; before < found.length;) {
    before = found.length;
    for (const stat of unmarked.values()) {
      if (!pids.has(stat.parentPid) || pids.has(stat.pid)) continue;
      pids.add(stat.pid);
      found.push(stat);
    }
  }
  return found;
}

/**
 * The first process of a job of which only the mark is known: the oldest one that leads a group.
 *
 * @throws as {@link findProcesses}.
 */
export async function findLeader(id: string): Promise<Identity | undefined> {
  return leaderAmong((await findProcesses([{ id, leader: undefined }])).get(id) ?? []);
}

/** Among the processes of a job, the oldest one that leads a group. */
export function leaderAmong(found: readonly ProcessStat[]): Identity | undefined {
  // This server may be the job of another one.
  const leaders = found.filter(({ pid, groupId }) => pid === groupId && pid !== process.pid);
  const [oldest] = leaders.sort((a, b) => Number(a.startTime) - Number(b.startTime));
  return oldest && { pid: oldest.pid, startTime: oldest.startTime };
}

/** @returns a function that finds the family to which a process is known to belong. */
function knownIn(families: readonly Family[]): (stat: ProcessStat) => Family | undefined {
  const byPid = new Map(families.flatMap((family) => (family.known ?? []).map((one) => [one.pid, { ...one, family }])));
  return ({ pid, startTime }) => {
    const one = byPid.get(pid);
    return one?.startTime === startTime && !isOutOfReach(pid) ? one.family : undefined;
  };
}

/** All live processes that can be read, with their marks. @throws as {@link findProcesses}. */
export async function markedProcesses(): Promise<readonly MarkedProcess[]> {
  const all = new Map<number, MarkedProcess>();
  await eachProcess((stat, markOf) => all.set(stat.pid, { stat, mark: markOf() }));
  return [...all.values()];
}

/** All live processes that can be read. @throws as {@link findProcesses}. */
export async function liveProcesses(): Promise<readonly ProcessStat[]> {
  const all: ProcessStat[] = [];
  await eachProcess((stat) => all.push(stat));
  return all;
}

type Visit = (stat: ProcessStat, markOf: () => string | undefined) => void;

/** A look through all processes that has not begun yet; callers share it until it does. */
interface Look {
  readonly visits: Visit[];
  readonly done: Promise<void>;
}

let next: Look | undefined;
let running: Promise<unknown> = Promise.resolve();

/**
 * Looks through all processes, one look after the other: to end a thousand jobs at once takes two looks, not a
 * thousand. Visits a process again, for at most {@link execMs}, if it was in an exec when its mark was read.
 */
async function eachProcess(visit: Visit): Promise<void> {
  if (process.platform !== 'linux') return;
  next ??= lookAfter(running);
  next.visits.push(visit);
  await next.done;
}

function lookAfter(earlier: Promise<unknown>): Look {
  const visits: Visit[] = [];
  const done = earlier.then(() => {
    next = undefined;
    return lookFor(visits);
  });
  running = done.catch(() => undefined);
  return { visits, done };
}

async function lookFor(visits: readonly Visit[]): Promise<void> {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  let rest = await visitAll(all.map((pid) => ({ pid, visits })));
  await readMarks(rest);
  const deadline = performance.now() + execMs;
  rest = await visitAll(rest);
  while (rest.length > 0 && performance.now() < deadline) {
    await sleep(execLookMs);
    await readMarks(rest);
    rest = await visitAll(rest);
  }
  giveUp(rest, all);
}

/** The remaining visits of one process. */
interface Visits {
  readonly pid: string;
  readonly visits: readonly Visit[];
}

/**
 * Reads synchronously, in slices of time: 10 µs a process, where the thread pool would take 220.
 *
 * @returns the visits that asked for a mark that could not be read yet.
 */
async function visitAll(wanted: readonly Visits[]): Promise<Visits[]> {
  const rest: Visits[] = [];
  let sliceEndsAt = performance.now() + sliceMs;
  for (const { pid, visits } of wanted) {
    const left = look(pid, visits);
    if (left.length > 0) rest.push({ pid, visits: left });
    if (performance.now() < sliceEndsAt) continue;
    await nextTurn();
    sliceEndsAt = performance.now() + sliceMs;
  }
  return rest;
}

/** @returns the visits that asked for the mark while it was unknown. */
function look(pid: string, visits: readonly Visit[]): readonly Visit[] {
  const line = whileThere(() => readProcFile(`/proc/${pid}/stat`));
  const stat = line === undefined ? undefined : parseStat(line);
  if (line === undefined || !stat || stat.state === 'Z' || stat.state === 'X') return [];
  const mark = knownMark(stat, line);
  return visits.filter((visit) => {
    let isDone = true;
    whileThere(() => visit(stat, () => {
      isDone = mark !== undefined;
      return mark?.value;
    }));
    return !isDone;
  });
}

/** @returns `undefined` where the process has ended or belongs to another user; in both cases it is not ours. */
function whileThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(errorCode(error))) return undefined;
    throw error;
  }
}

/** `undefined`: the mark has to be read first. */
function knownMark({ pid, isKernel }: ProcessStat, line: string): Mark | undefined {
  const memory = parseMemory(line);
  if (memory === undefined) return undefined;
  if (isKernel || memory.isHidden) return { program: memory.program, value: undefined };
  const mark = marks.get(pid);
  return mark?.program === memory.program ? mark : undefined;
}

/** Uses the thread pool: a read waits while the process forks or maps memory, which was seen to take 500 ms. */
async function readMarks(wanted: readonly Visits[]): Promise<void> {
  const left = wanted.map(({ pid }) => Number(pid)).values();
  await Promise.all(Array.from({ length: Math.min(readsAtOnce, wanted.length) }, async () => {
    const memory = Buffer.allocUnsafe(environmentBytes);
    for (const pid of left) await readMark(pid, memory);
  }));
}

/** @param kept Memory to read into. */
async function readMark(pid: number, kept: Buffer): Promise<void> {
  const program = memoryOf(pid)?.program;
  if (program === undefined) return;
  const environment = await readProcFileLater(`/proc/${pid}/environ`, kept)
    .catch((error: unknown) => whileThere(() => { throw error; }));
  // A process of another user, or one that has ended, is not ours.
  if (environment === '' && mayGetEnvironment(pid)) return;
  marks.set(pid, { program, value: environment === undefined ? undefined : markIn(environment) });
}

/**
 * Whether a process whose environment was read as empty has one, or is about to get one. An exec replaces the memory
 * of the process first. The kernel sets the addresses of the environment almost last, with an end of 0 and then equal
 * to the start until the environment was copied, and those of the code after them (Linux, load_elf_binary and
 * create_elf_tables).
 */
function mayGetEnvironment(pid: number): boolean {
  const memory = memoryOf(pid);
  if (memory === undefined || memory.isExitingOrKernel) return false;
  return memory.isLoading || memory.hasEnvironment;
}

/** Caches "no mark" for the processes whose marks stayed unreadable, and drops the entries of ended ones. */
function giveUp(rest: readonly Visits[], all: readonly string[]): void {
  for (const { pid } of rest) {
    const program = memoryOf(Number(pid))?.program;
    if (program !== undefined) marks.set(Number(pid), { program, value: undefined });
  }
  const there = new Set(all.map(Number));
  for (const pid of marks.keys()) if (!there.has(pid)) marks.delete(pid);
}

/** Reads an environment: `NAME=value` entries, each ended by NUL (proc(5)). */
function markIn(environment: string): string | undefined {
  const start = `\0${environment}`.indexOf(`\0${markName}=`);
  if (start < 0) return undefined;
  const end = environment.indexOf('\0', start);
  return environment.slice(start + markName.length + 1, end < 0 ? undefined : end);
}

/** If another process has the leader's pid by now, the group of that number is not ours either. */
function withoutStrangers(stats: readonly ProcessStat[], leader: Identity): ProcessStat[] {
  const isReused = stats.some(({ pid, startTime }) => pid === leader.pid && startTime !== leader.startTime);
  return stats.filter(({ groupId }) => !isReused || groupId !== leader.pid);
}
