/**
 * The persistent shells of this machine, by the keys that clients gave them. They outlive the server, which can read
 * all of its state back from disk.
 * @module
 */
import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { defined } from '../base/defined.ts';
import { isDiskFull } from '../base/files/disk-full.ts';
import type { Log } from '../base/log.ts';
import { clearPlaceOf, makeFolder, makeOwnFolder } from '../base/files/make-folder.ts';
import { isExhaustion, isLink, statFile } from '../base/files/untrusted-file.ts';
import { unixSeconds } from '../base/unix-seconds.ts';
import type { JobEvents } from '../jobs/kind.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { Session, ShellEnded, ShellKind } from '../protocol/shells.ts';
import type { Variables } from '../process/environment/secrets.ts';
import { ticksNow } from '../process/identity.ts';
import { Trash } from '../process/state/trash.ts';
import { dialects } from './dialects/registry.ts';
import { findShells } from './dialects/find-shells.ts';
import type { ShellLaunch, ShellRequest } from './request.ts';
import {
  folderName, parseSession, readSessionFile, type SessionRecord, shellMark, writeSession,
} from './session-record.ts';
import { Shell } from './shell.ts';
import { endOrphanedShells } from './orphaned-shells.ts';
import { shellGone } from './shell-end.ts';
import type { ShellProcessConnection } from './shell-process.ts';

export interface ShellsOptions {
  readonly stateDir: string;
  /** Takes a FIFO that was made ahead; `undefined`: this machine has no persistent shells. */
  readonly takeFifo: (() => Promise<string>) | undefined;
  /** The environment that jobs inherit. */
  readonly inherited: Variables;
  readonly maxSessions: number;
  /** How long an unused session is kept; 0: for ever. */
  readonly idleSeconds: number;
  readonly log: Log;
  /** Unix seconds. Default: the clock. */
  readonly now?: () => number;
}

/** What a server provides to its shells, which are created before it. */
export interface ShellsConnection extends ShellProcessConnection {
  readonly events: JobEvents;
  /** Ends the jobs of a session. */
  readonly cancelJobs: (sessionKey: string) => Promise<void>;
}

const longestSweepMs = 30_000;
/** The delay of the look through all processes, which would hold up the start of the server. */
const orphanCheckMs = 1000;

/** Runs jobs in shells that outlive them, and reports by {@link JobEvents}. One job per session at a time. */
export class Shells {
  readonly #options: ShellsOptions;
  readonly #folder: string;
  readonly #trash: Trash;
  readonly #now: () => number;
  readonly #shells = new Map<string, Shell>();
  /** Marks of shells whose sessions this version cannot read. */
  readonly #foreign = new Set<string>();
  /** The shells that can persist here, and their paths. */
  readonly found: ReadonlyMap<ShellKind, string>;
  readonly #sweep: NodeJS.Timeout | undefined;
  #connection: ShellsConnection | undefined;
  #isClosed = false;

  /** Reads back what an earlier server left. */
  constructor(options: ShellsOptions) {
    const { stateDir, takeFifo, inherited, idleSeconds, now = unixSeconds } = options;
    this.#options = options;
    this.#now = now;
    this.#folder = join(stateDir, 'shells');
    this.#trash = new Trash(stateDir);
    this.found = takeFifo ? findShells(inherited['PATH'] ?? '') : new Map();
    if (takeFifo) this.#readAll();
    if (idleSeconds === 0) return;
    this.#sweep = setInterval(() => this.#deleteIdle(), Math.max(100, Math.min(longestSweepMs, idleSeconds * 250)));
    this.#sweep.unref();
  }

  get maxSessions(): number {
    return this.#options.maxSessions;
  }

  get idleSeconds(): number {
    return this.#options.idleSeconds;
  }

  get count(): number {
    return this.#shells.size;
  }

  /** The shell for a request that names none. */
  get defaultShell(): ShellKind | null {
    return [...this.found.keys()][0] ?? null;
  }

  connect(connection: ShellsConnection): void {
    this.#connection = connection;
    if (this.#options.takeFifo) void this.#endOrphanedShells();
  }

  /** Ends the shells of earlier servers whose session is gone: they can be given no job any more. */
  async #endOrphanedShells(): Promise<void> {
    const { stateDir, log } = this.#options;
    const before = ticksNow();
    await sleep(orphanCheckMs, undefined, { ref: false });
    if (this.#isClosed) return;
    const isKnown = (mark: string): boolean =>
      this.#foreign.has(mark) || [...this.#shells.values()].some((shell) => shell.mark === mark);
    await endOrphanedShells({ folder: this.#folder, stateDir, before, isKnown, log });
  }

  /**
   * Ensures that the session exists.
   *
   * @returns the kind of its shell.
   * @throws ProblemError not_supported, too_many_sessions, session_conflict, shell_gone.
   */
  admit(request: ShellRequest): ShellKind {
    const { sessionKey, shell: wanted, workdir, env, bootstrapCommand, requireShell } = request;
    const known = this.#shells.get(sessionKey);
    if (known) {
      const { shell } = known.record;
      if (wanted !== undefined && wanted !== shell) {
        throw new ProblemError('session_conflict',
          `Cannot run the command by ${wanted}: session ${quoteKey(sessionKey)} has ${shell}; `
            + 'delete it, or use another sessionKey');
      }
      if (requireShell === true && known.isIdle && !known.hasState) throw known.goneError();
      this.#try(() => { if (bootstrapCommand !== undefined) known.setBootstrap(bootstrapCommand); });
      return shell;
    }
    if (requireShell === true) throw shellGone(sessionKey, 'there is no such session');
    const shell = this.#choose(wanted);
    const { maxSessions } = this.#options;
    if (this.#shells.size >= maxSessions) {
      throw new ProblemError('too_many_sessions',
        `Cannot open session ${quoteKey(sessionKey)}: there are ${maxSessions} already; delete one`);
    }
    const record: SessionRecord = {
      sessionKey, shell, createdAt: this.#now(), workdir, env,
      ...defined({ bootstrapCommand }),
      starts: 0,
    };
    this.#try(() => {
      const directory = join(this.#folder, folderName(sessionKey));
      if (isLink(directory)) throw new Error(`${directory} is a link, not a directory; remove it`);
      makeOwnFolder(this.#folder);
      // A job may have put a file there; a session that it was of is lost already.
      clearPlaceOf(directory);
      makeFolder(directory, { mode: 0o700 });
      writeSession(directory, record);
      this.#shells.set(sessionKey, this.#open(directory, record));
    });
    return shell;
  }

  start(launch: ShellLaunch): void {
    const shell = this.#shells.get(launch.sessionKey);
    if (shell) return shell.start(launch);
    // The session was deleted while the job waited for its turn.
    setImmediate(() => this.#connection?.events.onFailed(launch.id, new Error('its session was deleted')));
  }

  /** Continues with a job that an earlier server gave to its shell. */
  adopt(launch: Pick<ShellLaunch, 'id' | 'directory' | 'sessionKey'>): void {
    const shell = this.#shells.get(launch.sessionKey);
    if (shell) return shell.adopt(launch);
    setImmediate(() => this.#connection?.events.onExit(launch.id, { code: undefined, pid: 0, hasLeft: false }));
  }

  /** How its shell ended together with a job of an earlier server; `undefined`: the shell did not end with that job. */
  endedWith({ sessionKey, directory }: Pick<ShellLaunch, 'directory' | 'sessionKey'>): ShellEnded | undefined {
    return this.#shells.get(sessionKey)?.endedWith(directory);
  }

  /** Takes back a job that was not given to its shell yet. `false`: it was. */
  withdraw(id: string): boolean {
    return this.#of(id)?.withdraw() ?? false;
  }

  /** Ends what the job runs and, if the job still runs then, its shell. `false`: a process hangs in the kernel. */
  async end(id: string, options: { signal: NodeJS.Signals; graceMs: number }): Promise<boolean> {
    return await this.#of(id)?.end(options) ?? true;
  }

  /** Sends a signal to what the job runs. `false`: only the shell itself runs. */
  async signal(id: string, name: NodeJS.Signals): Promise<boolean> {
    return await this.#of(id)?.signal(name) ?? false;
  }

  list(): readonly Session[] {
    return [...this.#shells.values()]
      .map((shell) => shell.show())
      .sort((a, b) => (a.sessionKey < b.sessionKey ? -1 : 1));
  }

  /** @throws ProblemError session_not_found. */
  get(sessionKey: string): Session {
    return this.#get(sessionKey).show();
  }

  /** Ends the session's jobs and process, and forgets the session. @throws ProblemError session_not_found. */
  async delete(sessionKey: string): Promise<void> {
    const shell = this.#get(sessionKey);
    await this.#connection?.cancelJobs(sessionKey);
    if (this.#shells.get(sessionKey) !== shell) return;
    // A new session with that key may be created at once.
    const directory = join(this.#folder, folderName(sessionKey));
    const aside = `${directory}.deleted-${process.pid}-${Date.now()}`;
    if (!isLink(this.#folder) && statFile(directory) !== undefined) this.#try(() => renameSync(directory, aside));
    this.#shells.delete(sessionKey);
    await shell.terminate();
    await this.#trash.remove(aside).catch(() => undefined);
    this.#options.log.info('session deleted', { sessionKey });
  }

  /** Releases the shells, which keep running, with their jobs. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#sweep);
    for (const shell of this.#shells.values()) shell.close();
  }

  #choose(wanted: ShellKind | undefined): ShellKind {
    const shell = wanted ?? this.defaultShell;
    if (shell !== null && this.found.has(shell)) return shell;
    const have = [...this.found.keys()].join(', ');
    throw new ProblemError('not_supported', have === ''
      ? 'Cannot open a persistent shell: this machine has none that can persist'
      : `Cannot open a persistent shell by ${wanted}: this machine has ${have}`);
  }

  #get(sessionKey: string): Shell {
    const shell = this.#shells.get(sessionKey);
    if (!shell) throw new ProblemError('session_not_found',
      `Cannot find session ${quoteKey(sessionKey)}: there is none, or it was deleted`);
    return shell;
  }

  #of(id: string): Shell | undefined {
    return [...this.#shells.values()].find((shell) => shell.hasJob(id));
  }

  #open(directory: string, record: SessionRecord): Shell {
    const { takeFifo, log } = this.#options;
    const dialect = dialects[record.shell];
    const program = this.found.get(record.shell);
    if (!takeFifo || !dialect || program === undefined) throw new Error(`this machine has no ${record.shell} any more`);
    // A shell needs the connection only once it has a job, which arrives through the connection.
    const connection = (): ShellsConnection => this.#connection ?? unconnected();
    return new Shell({
      directory, record, dialect, program, takeFifo, trash: this.#trash, inherited: this.#options.inherited,
      connection, log, now: this.#now,
    });
  }

  #readAll(): void {
    if (statFile(this.#folder) === undefined) return;
    const aside = makeOwnFolder(this.#folder);
    if (aside !== undefined) this.#options.log.warn(
      'the shells directory was no directory of ours, and was set aside', { aside },
    );
    for (const name of readdirSync(this.#folder)) {
      const directory = join(this.#folder, name);
      if (name.includes('.deleted-')) {
        this.#discard(directory);
        continue;
      }
      let value: unknown;
      try {
        if (isLink(directory)) throw new Error('it is a link, not a directory');
        value = readSessionFile(directory);
        const record = parseSession(value);
        if (folderName(record.sessionKey) !== name) throw new Error('its shell.json is that of another session');
        this.#shells.set(record.sessionKey, this.#open(directory, record));
      } catch (error) {
        if (isExhaustion(error)) throw error;
        if (/^[0-9a-f]{32}$/.test(name) && isUntouched(directory)) this.#discard(directory);
        else this.#options.log.warn('skipped in the shells directory', { name, why: (error as Error).message });
        this.#noteForeign(directory, value);
      }
    }
    void this.#trash.empty();
  }

  /** Its files go with those of all others, in one process: there may be thousands. */
  #discard(directory: string): void {
    try {
      this.#trash.put(directory);
    } catch {
      // The next start tries again.
    }
  }

  /** Remembers the mark of a record that a later version has written, which may continue with its shell one day. */
  #noteForeign(directory: string, value: unknown): void {
    const { createdAt, starts } = (value ?? {}) as { readonly createdAt?: unknown; readonly starts?: unknown };
    if (typeof createdAt !== 'number' || typeof starts !== 'number') return;
    this.#foreign.add(shellMark(directory, { createdAt }, starts));
  }

  #deleteIdle(): void {
    const before = this.#now() - this.#options.idleSeconds;
    for (const [sessionKey, shell] of this.#shells) {
      if (!shell.isIdle || shell.lastUsedAt > before) continue;
      this.delete(sessionKey).catch((error: unknown) =>
        this.#options.log.warn('cannot delete an idle session', { sessionKey, error }));
    }
  }

  /** Turns an error of the file system into a problem for the caller. */
  #try(act: () => void): void {
    try {
      act();
    } catch (error) {
      const detail = `Cannot write the state of the session: ${(error as Error).message}`;
      throw new ProblemError(isDiskFull(error) ? 'storage_full' : 'unavailable', detail, { cause: error });
    }
  }
}

/** Whether the server was killed before the session had its record: then nothing was ever run in it. */
function isUntouched(directory: string): boolean {
  try {
    return readdirSync(directory).every((name) => /^shell\.json\.\d+\.\d+$/.test(name));
  } catch {
    // ENOTDIR, EACCES: something else, which is kept.
    return false;
  }
}

function unconnected(): never {
  throw new Error('Cannot use a persistent shell: there are no jobs yet');
}

function quoteKey(sessionKey: string): string {
  return JSON.stringify(sessionKey.slice(0, 64));
}
