/**
 * All terminals: starts them, finds them again after a restart, limits their number, removes those that ended long ago.
 * @module
 */
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { defined } from '../../base/defined.ts';
import { isDiskFull } from '../../base/files/disk-full.ts';
import { ParseError } from '../../base/parse.ts';
import type { Log } from '../../base/log.ts';
import { markName } from '../../process/descendants.ts';
import { exhaustionProblem } from '../../process/exhaustion-problem.ts';
import { loginShell } from '../../process/environment/user.ts';
import { Answers, checkSame, type Idempotency, idempotencyOf } from '../../process/state/idempotency.ts';
import { ticksNow } from '../../process/identity.ts';
import { overlayForTerminal } from '../../process/environment/terminal.ts';
import { workdirFor } from '../../process/workdir.ts';
import { jobIdFactory } from '../../protocol/ids.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Repeatable } from '../../protocol/repeatable.ts';
import {
  defaultSize, type Terminal, type TerminalBackend, type TerminalId, type TerminalRequest,
} from '../../protocol/terminals.ts';
import { type Backend, findBackend } from '../backend.ts';
import type { TerminalRecord } from '../record.ts';
import { TerminalStore } from './store.ts';
import type { TerminalHandle } from './terminal-handle.ts';

export interface TerminalsOptions {
  readonly stateDir: string;
  /** Environment that programs inherit; it holds no secrets. */
  readonly env: { readonly [name: string]: string };
  readonly maxTerminals: number;
  readonly scrollbackBytes: number;
  /** A terminal is ended after this long without input and output; `undefined`: never. */
  readonly idleSeconds: number | undefined;
  readonly lifetimeSeconds: number | undefined;
  readonly log: Log;
}

/** Ended terminals are listed up to this number, and for this many seconds. */
const maxEnded = 64;
const endedSeconds = 3600;

/** Delay of the search for orphaned holders: a scan of all processes would slow down the start. */
const orphanSearchMs = 1000;

export class Terminals {
  readonly #options: TerminalsOptions;
  readonly #store: TerminalStore;
  readonly #terminals = new Map<TerminalId, TerminalHandle>();
  readonly #starting = new Set<Promise<unknown>>();
  readonly #answers = new Answers();
  /** Requests with an Idempotency-Key that are in progress, by key. */
  readonly #keyed = new Map<
    string, { readonly idempotency: Idempotency; readonly starting: Promise<TerminalHandle> }
  >();
  readonly #nextId: () => TerminalId;
  #backend: Backend | null | undefined;
  #isClosed = false;

  /** The missing start directory was logged. */
  #hasWarned = false;

  private constructor(options: TerminalsOptions, records: readonly TerminalRecord[]) {
    this.#options = options;
    this.#store = new TerminalStore(options.stateDir);
    const last = records.at(-1)?.terminalId;
    this.#nextId = jobIdFactory({ now: Date.now, random: randomInt, ...defined({ last }) });
  }

  /** Opens the terminals that earlier servers have started. */
  static async open(options: TerminalsOptions): Promise<Terminals> {
    const { records, skipped } = new TerminalStore(options.stateDir).readAll();
    for (const { name, why } of skipped) options.log.warn('skipping an invalid terminal', { name, why });
    const terminals = new Terminals(options, records);
    for (const record of records) await terminals.#add(record);
    terminals.#pruneEnded();
    const holders = [
      ...records.map(({ holder }) => holder.pid),
      ...skipped.flatMap(({ holderPid }) => holderPid ?? []),
    ];
    if (existsSync(terminals.#store.folder)) void terminals.#endOrphanedHolders(new Set(holders));
    return terminals;
  }

  /** Ends the holders without a record, which no client can reach any more. */
  async #endOrphanedHolders(known: ReadonlySet<number>): Promise<void> {
    const { log } = this.#options;
    const before = ticksNow();
    await sleep(orphanSearchMs, undefined, { ref: false });
    if (this.#isClosed) return;
    try {
      const { findOrphanedHolders, endOrphanedHolder } = await import('./orphaned-holders.ts');
      await Promise.all((await findOrphanedHolders(this.#store.folder, { known, before })).map(async (orphan) => {
        log.warn('ending a terminal whose record was replaced', {
          terminalId: orphan.terminalId,
          pid: orphan.holder.pid,
        });
        await endOrphanedHolder(orphan);
      }));
    } catch (error) {
      log.warn('cannot look for terminals without a record', { error });
    }
  }

  /** The way terminals are opened here; `null`: there is none. */
  get backend(): TerminalBackend | null {
    return this.#findBackend()?.name ?? null;
  }

  /** Number of running terminals. */
  get running(): number {
    let running = 0;
    for (const { exit } of this.#terminals.values()) if (exit === undefined) running += 1;
    return running;
  }

  /** Newest first. */
  list(): readonly TerminalHandle[] {
    this.#pruneEnded();
    return [...this.#terminals.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  /** @throws ProblemError terminal_not_found. */
  get(id: string): TerminalHandle {
    const terminal = this.#terminals.get(id as TerminalId);
    if (terminal === undefined) throw new ProblemError('terminal_not_found', `Cannot find terminal ${id.slice(0, 60)}`);
    return terminal;
  }

  /**
   * Starts a terminal, once per Idempotency-Key. A key is remembered as long as its terminal.
   *
   * @returns The answer to the first request.
   * @throws As {@link start}; ProblemError idempotency_mismatch.
   */
  async startOnce(request: TerminalRequest, asked: Idempotency | undefined): Promise<Terminal> {
    if (asked === undefined) return (await this.start(request)).view;
    const terminal = await this.#startedBy(asked) ?? await this.#startKeyed(request, asked);
    return await this.#answers.once(this.#store.directory(terminal.id), asked, async () => terminal.view);
  }

  /**
   * Acts on a terminal once per Idempotency-Key.
   *
   * @param call Name of the action.
   * @param act As for `Answers`.
   * @throws ParseError; ProblemError terminal_not_found, idempotency_mismatch, outcome_unknown.
   */
  async once<T>(
    id: string,
    request: Repeatable,
    call: string,
    act: (terminal: TerminalHandle, begin: () => void) => Promise<T>,
  ): Promise<T> {
    const terminal = this.get(id);
    return await this.#answers.once(
      this.#store.directory(terminal.id),
      idempotencyOf(request, call),
      (begin) => act(terminal, begin),
    );
  }

  /**
   * Starts a terminal. Resolves once its program runs.
   *
   * @param options.ofConnection The terminal ends with its WebSocket. The command is typed into the user's shell, which
   * stays open.
   * @throws ParseError; ProblemError not_supported, too_many_terminals, storage_full, unavailable, shutting_down.
   */
  async start(
    request: TerminalRequest,
    { ofConnection = false, idempotency }: { ofConnection?: boolean; idempotency?: Idempotency } = {},
  ): Promise<TerminalHandle> {
    if (this.#isClosed) throw new ProblemError('shutting_down', 'Cannot open a terminal: the server is shutting down');
    const backend = this.#findBackend();
    if (backend === undefined) {
      throw new ProblemError(
        'not_supported',
        'Cannot open a terminal: this machine has neither script(1) and stty(1) nor node-pty',
      );
    }
    const { maxTerminals } = this.#options;
    if (this.running + this.#starting.size >= maxTerminals) {
      throw new ProblemError(
        'too_many_terminals',
        `Cannot open a terminal: ${maxTerminals} are open`,
        { headers: { 'Retry-After': '5' } },
      );
    }
    const starting = this.#start(request, backend, { ofConnection, idempotency });
    this.#starting.add(starting);
    try {
      return await starting;
    } finally {
      this.#starting.delete(starting);
    }
  }

  /** Ends a terminal with all its processes, and removes it. */
  async remove(terminal: TerminalHandle): Promise<void> {
    await terminal.end();
    try {
      await this.#store.remove(terminal.id);
    } catch (error) {
      const detail = `Cannot remove the files of terminal ${terminal.id}, which has ended: ${(error as Error).message}`;
      throw new ProblemError('unavailable', detail, { cause: error });
    }
    this.#terminals.delete(terminal.id);
  }

  /** Stops watching. The terminals keep running, for the next server. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#starting);
    for (const terminal of this.#terminals.values()) terminal.close();
  }

  /** @throws ProblemError idempotency_mismatch. */
  async #startedBy(asked: Idempotency): Promise<TerminalHandle | undefined> {
    const started = [...this.#terminals.values()].find(({ record }) => record.idempotency?.key === asked.key);
    const known = started?.record.idempotency ?? this.#keyed.get(asked.key)?.idempotency;
    if (known !== undefined) checkSame(known, asked);
    return started ?? await this.#keyed.get(asked.key)?.starting;
  }

  async #startKeyed(request: TerminalRequest, idempotency: Idempotency): Promise<TerminalHandle> {
    const starting = this.start(request, { idempotency });
    this.#keyed.set(idempotency.key, { idempotency, starting });
    try {
      return await starting;
    } finally {
      this.#keyed.delete(idempotency.key);
    }
  }

  async #start(
    request: TerminalRequest,
    backend: Backend,
    { ofConnection, idempotency }: { ofConnection: boolean; idempotency: Idempotency | undefined },
  ): Promise<TerminalHandle> {
    const { env, scrollbackBytes, idleSeconds, lifetimeSeconds } = this.#options;
    const { workdir, warning } = await workdirFor(request.workdir, env);
    if (warning !== undefined && !this.#hasWarned) {
      this.#options.log.warn('the start directory is missing', { warning });
    }
    this.#hasWarned ||= warning !== undefined;
    const id = this.#nextId();
    const { command = null, name = null, cols, rows } = request;
    const { startHolder } = await import('./start.ts');
    try {
      this.#store.create(id);
      const record = await startHolder({
        directory: this.#store.directory(id),
        about: {
          terminalId: id, name, command, ofConnection, createdAt: Date.now() / 1000,
          ...defined({ idempotency }),
          ...(warning === undefined ? {} : { warnings: [warning] }),
        },
        backend, workdir, scrollbackBytes,
        argv: command === null || ofConnection ? [loginShell(env)] : ['/bin/sh', '-c', command],
        typed: ofConnection ? command : null,
        env: { ...env, ...overlayForTerminal(env, request.env ?? {}), [markName]: id },
        size: { cols: cols ?? defaultSize.cols, rows: rows ?? defaultSize.rows },
        idleSeconds: idleSeconds ?? null, lifetimeSeconds: lifetimeSeconds ?? null,
      }, env);
      // The package could not be loaded.
      if (record.backend !== backend.name) this.#backend = { name: record.backend };
      return await this.#add(record);
    } catch (error) {
      await this.#store.remove(id).catch(() => undefined);
      throw startProblem(error);
    }
  }

  /** The module is loaded with the first terminal: most servers never have one. */
  async #add(record: TerminalRecord): Promise<TerminalHandle> {
    const { TerminalHandle } = await import('./terminal-handle.ts');
    const terminal: TerminalHandle = new TerminalHandle(record, this.#store, () => this.#handleEnd(terminal));
    this.#terminals.set(terminal.id, terminal);
    if (this.#isClosed) terminal.close();
    return terminal;
  }

  #handleEnd(terminal: TerminalHandle): void {
    if (terminal.record.ofConnection) void this.#removeEnded(terminal);
    else this.#pruneEnded();
  }

  #pruneEnded(): void {
    const ended = [...this.#terminals.values()]
      .flatMap((terminal) => (terminal.exit ? [{ terminal, at: terminal.exit.finishedAt }] : []));
    ended.sort((a, b) => b.at - a.at);
    const oldest = Date.now() / 1000 - endedSeconds;
    for (const [index, { terminal, at }] of ended.entries()) {
      if (index >= maxEnded || at < oldest || terminal.record.ofConnection) void this.#removeEnded(terminal);
    }
  }

  async #removeEnded(terminal: TerminalHandle): Promise<void> {
    this.#terminals.delete(terminal.id);
    try {
      await this.#store.remove(terminal.id);
    } catch (error) {
      this.#options.log.warn('the files of a terminal cannot be removed', { terminalId: terminal.id, error });
    }
  }

  #findBackend(): Backend | undefined {
    this.#backend ??= findBackend({ path: this.#options.env['PATH'] }) ?? null;
    return this.#backend ?? undefined;
  }
}

function startProblem(error: unknown): Error {
  if (error instanceof ProblemError || error instanceof ParseError) return error;
  const action = 'Cannot open a terminal';
  const shortage = exhaustionProblem(action, error);
  if (shortage !== undefined) return shortage;
  const detail = `${action}: ${(error as Error).message}`;
  return new ProblemError(isDiskFull(error) ? 'storage_full' : 'unavailable', detail, { cause: error });
}
