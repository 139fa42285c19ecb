/**
 * One terminal, as a server knows it: through the files and the socket of its holder.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { defined } from '../../base/defined.ts';
import { UntrustedFileError } from '../../base/files/untrusted-file.ts';
import { isAlive, isAliveNow, sendSignal } from '../../process/identity.ts';
import { terminate } from '../../process/terminate.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Terminal, TerminalId, TerminalSize } from '../../protocol/terminals.ts';
import type { Frame, HolderEvent } from '../frames.ts';
import { HolderLink } from './holder-link.ts';
import type { TerminalExit, TerminalRecord } from '../record.ts';
import { maxScrollbackBytes, type TerminalStore } from './store.ts';

export interface ViewOptions {
  /** Offset up to which the client knows the output. Default: nothing is known, and the scrollback comes first. */
  readonly after?: number | undefined;
  readonly isReadonly: boolean;
  /** The terminal ends with this connection. */
  readonly isOwner: boolean;
}

/** From SIGHUP to SIGKILL. */
export const graceMs = 2000;
/** How long a holder may take to end its terminal, before the server does that without it. */
const endMs = graceMs + 8000;
/** Time limit for learning how a terminal ended, once its holder does not answer. */
const learnMs = 5000;
/** Delay between attempts to reach a holder: the first one, and the longest. */
const retryMs = 20;
const slowestRetryMs = 250;
/** How often the server checks that the holder is alive. */
const holderCheckMs = 1000;
/** How long a holder may take to send the screen. */
const outputTimeoutMs = 10_000;

export class TerminalHandle {
  readonly record: TerminalRecord;
  readonly #store: TerminalStore;
  readonly #onEnded: () => void;
  #latest: { readonly cols: number; readonly rows: number; readonly attached: number; readonly lastActivityAt: number };
  #exit: TerminalExit | undefined;
  #watch: HolderLink | undefined;
  /**
   * Id of the holder's socket. A holder of an earlier version does not record it: then it is the id of the first one
   * found.
   */
  #socketId: string | undefined;
  #isClosed = false;
  #resolveEnded: () => void = () => undefined;
  /** Resolves once the terminal has ended. */
  readonly #ended: Promise<void>;

  /** @param onEnded Called once; not for a terminal that had ended before. */
  constructor(record: TerminalRecord, store: TerminalStore, onEnded: () => void) {
    this.record = record;
    this.#socketId = record.socket;
    this.#store = store;
    this.#onEnded = onEnded;
    this.#latest = { cols: record.cols, rows: record.rows, attached: 0, lastActivityAt: record.createdAt };
    this.#exit = store.readExit(record.terminalId);
    this.#ended = new Promise((resolve) => { this.#resolveEnded = resolve; });
    if (this.#exit === undefined) void this.#watchHolder();
    else this.#resolveEnded();
  }

  get id(): TerminalId {
    return this.record.terminalId;
  }

  get exit(): TerminalExit | undefined {
    return this.#exit;
  }

  get view(): Terminal {
    const { terminalId, name, command, workdir, warnings, backend, ofConnection, createdAt, program } = this.record;
    const exit = this.#exit;
    const { cols, rows, lastActivityAt } = exit ?? this.#latest;
    return {
      terminalId, name,
      status: statusOf(exit),
      reason: exit?.reason ?? null,
      command, workdir, cols, rows, pid: program.pid, backend, ofConnection, attached: exit ? 0 : this.#latest.attached,
      createdAt, lastActivityAt, finishedAt: exit?.finishedAt ?? null, ...(exit ? { exitCode: exit.exitCode } : {}),
      ...defined({ warnings }),
    };
  }

  /**
   * Opens a connection that gets the output; `undefined` where the terminal has ended. The caller must set its handlers
   * at once.
   */
  async attach({ after, isReadonly, isOwner }: ViewOptions): Promise<HolderLink | undefined> {
    const link = await this.#link();
    link?.send({ kind: 'attach', after: after ?? null, isDeciding: !isReadonly, isOwner, withState: true });
    return link;
  }

  /**
   * The end of its output.
   *
   * @throws ProblemError unavailable where the holder does not send it in time, or sends more than a holder keeps.
   */
  async scrollback(): Promise<Buffer> {
    const link = await this.#link();
    if (link === undefined) return this.#store.readScrollback(this.id);
    const sent = await readOutput(link);
    if (sent !== undefined) return sent;
    // The terminal may have ended at that moment.
    if (this.#store.readExit(this.id) !== undefined) return this.#store.readScrollback(this.id);
    throw new ProblemError(
      'unavailable',
      `Cannot read the screen of terminal ${this.id}: its holder does not answer; end the terminal`,
    );
  }

  /** Types into the terminal. @param begin Called just before. @throws ProblemError terminal_ended, stdin_full. */
  async type(bytes: Buffer, begin: () => void = () => undefined): Promise<void> {
    await this.#runOnce('type', (link) => {
      begin();
      link.type(bytes);
    });
  }

  /** @throws ProblemError terminal_ended, stdin_full. */
  async resize(size: TerminalSize): Promise<void> {
    await this.#runOnce('resize', (link) => link.send({ kind: 'resize', ...size }));
  }

  /**
   * Ends the program and all that it started, also processes that it left behind. Resolves once they are gone.
   *
   * @throws ProblemError unavailable where its holder does not end in time: it hangs in the kernel, or is not ours.
   */
  async end(): Promise<void> {
    // Where the holder cannot be reached, it is ended with everything in its terminal.
    const link = await this.#link().catch(() => undefined);
    link?.send({ kind: 'end', reason: 'closed', graceMs });
    if (link !== undefined) await Promise.race([closeOf(link), this.#endedWithin(endMs)]);
    link?.close();
    await this.#terminateProcesses();
    // One that was stopped leaves by itself once it runs again.
    const { holder } = this.record;
    if (await isAlive(holder)) sendSignal(holder.pid, this.#exit === undefined ? 'SIGKILL' : 'SIGCONT');
    const exit = await this.learnEnd();
    if (exit !== undefined) return;
    throw new ProblemError(
      'unavailable', `Cannot end terminal ${this.id}: its holder, process ${holder.pid}, does not end`,
    );
  }

  /** Waits a while for the end of a terminal that is about to end. @returns How it ended. */
  async learnEnd(): Promise<TerminalExit | undefined> {
    await this.#endedWithin(learnMs);
    return this.#exit;
  }

  async #endedWithin(limitMs: number): Promise<void> {
    const over = new AbortController();
    await Promise.race([this.#ended, sleep(limitMs, undefined, { signal: over.signal }).catch(() => undefined)]);
    over.abort();
  }

  /** Stops watching. The terminal keeps running, for the next server. */
  close(): void {
    this.#isClosed = true;
    this.#watch?.close();
  }

  /** Gets changes from the holder as long as it lives. */
  async #watchHolder(): Promise<void> {
    for (let waitMs = retryMs; !this.#isClosed; waitMs = Math.min(waitMs * 1.5, slowestRetryMs)) {
      try {
        const link = await this.#open();
        if (this.#isClosed) return link.close();
        await this.#watchUntilClosed(link);
      } catch {
        // The holder does not listen yet, or no longer.
      }
      const exit = this.#store.readExit(this.id);
      if (exit !== undefined) return this.#finish(exit);
      if (!this.#isClosed && !await isAlive(this.record.holder)) return this.#finishLost();
      await sleep(waitMs, undefined, { ref: false });
    }
  }

  #watchUntilClosed(link: HolderLink): Promise<void> {
    this.#watch = link;
    // Another process may listen in place of a holder that has ended.
    const check = setInterval(() => { if (!isAliveNow(this.record.holder)) link.close(); }, holderCheckMs).unref();
    return new Promise<void>((resolve) => {
      link.onFrame = (frame: Frame<HolderEvent>) => {
        if (frame.kind === 'state') this.#latest = frame;
      };
      link.onClose = resolve;
      link.send({ kind: 'watch' });
    }).finally(() => clearInterval(check));
  }

  /** The holder was killed: the output that it kept is lost. */
  async #finishLost(): Promise<void> {
    await this.#terminateProcesses();
    const written = this.#store.readExit(this.id);
    if (written !== undefined) return this.#finish(written);
    const { cols, rows, lastActivityAt } = this.#latest;
    const exit: TerminalExit = {
      exitCode: -1,
      reason: 'lost',
      finishedAt: Date.now() / 1000,
      lastActivityAt,
      cols,
      rows,
      outputBytes: 0,
    };
    this.#store.writeExit(this.id, exit);
    this.#finish(exit);
  }

  #finish(exit: TerminalExit): void {
    this.#exit = exit;
    this.#resolveEnded();
    this.#onEnded();
  }

  async #terminateProcesses(): Promise<void> {
    await terminate({ id: this.id, leader: this.record.program }, { signal: 'SIGHUP', graceMs });
  }

  async #runOnce(action: string, request: (link: HolderLink) => void): Promise<void> {
    const link = await this.#link();
    if (link === undefined) throw new ProblemError('terminal_ended', `Cannot ${action}: terminal ${this.id} has ended`);
    let isDone: boolean;
    try {
      request(link);
      isDone = await link.synced();
    } finally {
      link.close();
    }
    if (isDone) return;
    if (this.#exit !== undefined) {
      throw new ProblemError('terminal_ended', `Cannot ${action}: terminal ${this.id} has ended`);
    }
    // The request was sent and may still be carried out.
    throw new ProblemError(
      'stdin_full',
      `Cannot ${action}: the program of terminal ${this.id} does not read its input`,
      { extensions: { unknown: true } },
    );
  }

  async #link(): Promise<HolderLink | undefined> {
    if (this.#exit !== undefined) return undefined;
    try {
      return await this.#open();
    } catch (error) {
      // A holder writes how its terminal ended before it stops listening; the watch will learn that soon.
      if (this.#store.readExit(this.id) !== undefined || !await isAlive(this.record.holder)) {
        await this.#endedWithin(learnMs);
      }
      if (this.#exit !== undefined) return undefined;
      const why = error instanceof UntrustedFileError ? 'its socket was replaced' : 'its holder does not answer';
      throw new ProblemError('unavailable', `Cannot reach terminal ${this.id}: ${why}; end the terminal`);
    }
  }

  /** @throws As `HolderLink.open`; Error where the holder has ended: another socket may have its inode by now. */
  async #open(): Promise<HolderLink> {
    if (!isAliveNow(this.record.holder)) throw new Error('The holder has ended');
    const directory = this.#store.directory(this.id);
    const link = await HolderLink.open({ directory, terminalId: this.id, socket: this.#socketId });
    this.#socketId ??= link.socketId;
    return link;
  }
}

function statusOf(exit: TerminalExit | undefined): Terminal['status'] {
  if (exit === undefined) return 'running';
  return exit.reason === 'lost' ? 'lost' : 'ended';
}

function closeOf(link: HolderLink): Promise<void> {
  return new Promise((resolve) => { link.onClose = resolve; });
}

/**
 * Reads the output that a holder keeps. A job may have put another socket there, which sends nothing or never stops: so
 * the buffer has the announced size, and never more than a holder keeps.
 *
 * @returns `undefined` where it is not sent in time, or not by a holder.
 */
async function readOutput(link: HolderLink): Promise<Buffer | undefined> {
  let timer: NodeJS.Timeout | undefined;
  return await new Promise<Buffer | undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), outputTimeoutMs);
    let kept: Buffer | undefined;
    let length = 0;
    let position = 0;
    let end = 0;
    link.onClose = () => resolve(undefined);
    link.onFrame = (frame) => {
      if (frame.kind === 'attached') {
        const size = frame.end - frame.offset;
        if (kept !== undefined || size < 0 || size > maxScrollbackBytes) return resolve(undefined);
        kept = Buffer.allocUnsafeSlow(size);
        [position, end] = [frame.offset, frame.end];
      }
      if (frame.kind === 'skipped') position = Math.max(position, frame.offset);
      if (frame.kind === 'bytes') {
        if (kept === undefined) return resolve(undefined);
        length += frame.bytes.copy(kept, length);
        position += frame.bytes.length;
      }
      if (kept !== undefined && position >= end) resolve(kept.subarray(0, length));
    };
    link.send({ kind: 'attach', after: null, isDeciding: false, isOwner: false });
  }).finally(() => {
    clearTimeout(timer);
    link.close();
  });
}
