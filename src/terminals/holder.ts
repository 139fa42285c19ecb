/**
 * Keeps one terminal, in a process of its own: so it outlives every server. What it shows lately is kept in a ring, and whoever connects to
 * the Unix socket beside gets that and then what comes.
 *
 * A program waits for its viewers, as it would under ssh, but at most a second for one that reads slower than another, or that takes nothing:
 * that one is left behind. Once the ring has overtaken it, it skips what is gone and is told how much that was. It is waited for again once it
 * has caught up. So a viewer loses nothing by a short delay of its own, and a slow one costs the others a second. What a viewer has
 * is not what it has read: the buffers of its connection hold megabytes, so a viewer that reads nothing seems to be the fastest at first.
 *
 * The size is what the one asked for who acted last, as tmux has it with `window-size latest`.
 * @module
 */
import { linkSync, lstatSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { longTimeout } from '../base/long-timeout.ts';
import { replaceFile } from '../base/atomic-file.ts';
import { createFile, statFile } from '../base/untrusted-file.ts';
import { type Identity, identify } from '../process/identity.ts';
// Not later: an update may have removed the files of this version by then.
import { terminate } from '../process/terminate.ts';
import type { TerminalReason, TerminalSize } from '../protocol/terminals.ts';
import { type Backend, scriptBackend } from './backend.ts';
import type { Asked, Told } from './frames.ts';
import { openNodePty, openScriptPty, type Pty, type PtyEvents, type PtyOptions } from './pty.ts';
import type { TerminalExit, TerminalRecord } from './record.ts';
import { Ring } from '../base/ring.ts';
import { Replay } from './replay.ts';
import { FirstInput } from './first-input.ts';
import { socketId, socketName } from './socket-path.ts';
import { type House, Visitor } from './visitor.ts';

/** What the server that starts a holder tells it. */
export interface HolderOrder extends PtyOptions {
  /** The terminal's own: the holder works in it. */
  readonly directory: string;
  readonly about: Pick<TerminalRecord, 'terminalId' | 'name' | 'command' | 'ofConnection' | 'idempotency' | 'createdAt' | 'warnings'>;
  readonly backend: Backend;
  readonly scrollbackBytes: number;
  /** Typed into the program once it is ready; `null`: nothing. */
  readonly typed: string | null;
  /** Without input and output for so long, it is ended; `null`: never. */
  readonly idleSeconds: number | null;
  readonly lifetimeSeconds: number | null;
}

/** How long the program waits for a viewer that is behind. */
const stallMs = 1000;
const recordFile = 'terminal.json';
/** How often watchers are told of mere activity. */
const tellMs = 1000;
/** After SIGHUP. */
const graceMs = 2000;
/** How long those who read may take for the rest, once the program has ended, without taking any of it. */
const lastWordsMs = 10_000;
/** A program has to see the other size before the size is as it was: curses passes over a change of which nothing is left. */
const repaintMs = 200;
/** One that is for a connection has it within this time. */
const ownerMs = 30_000;

export class Holder implements House {
  readonly ring: Ring;
  readonly replay: Replay;
  exit: TerminalExit | undefined;
  readonly #order: HolderOrder;
  readonly #visitors = new Set<Visitor>();
  readonly #server: Server;
  readonly #cancels: (() => void)[] = [];
  #pty: Pty | undefined;
  #firstInput: FirstInput | undefined;
  #program: Identity | undefined;
  /** What the program has, and what was asked for last. */
  #size: TerminalSize;
  #wantedSize: TerminalSize;
  #resized: Promise<void> = Promise.resolve();
  #lastActivityMs = Date.now();
  #isPaused = false;
  #stallCheck: NodeJS.Timeout | undefined;
  #telling: NodeJS.Timeout | undefined;
  #repainting: NodeJS.Timeout | undefined;
  /** One that is for a connection keeps what it showed until that has come, however short it was. */
  #ownerCame: Promise<void> = Promise.resolve();
  #welcome: () => void = () => undefined;
  /** Why it is being ended; `undefined`: it is not. */
  #ending: TerminalReason | undefined;

  private constructor(order: HolderOrder) {
    this.#order = order;
    this.#size = order.size;
    this.#wantedSize = order.size;
    this.ring = new Ring(order.scrollbackBytes);
    this.replay = new Replay(this.ring);
    this.#server = createServer((socket) => { this.#visitors.add(new Visitor(socket, this)); });
  }

  /** Starts the program. @throws Error where it cannot be. @returns what is in terminal.json now. */
  static async open(order: HolderOrder): Promise<{ readonly holder: Holder; readonly record: TerminalRecord }> {
    process.chdir(order.directory);
    const holder = new Holder(order);
    return { holder, record: await holder.#open() };
  }

  async #open(): Promise<TerminalRecord> {
    let opened = (): void => undefined;
    const isOpen = new Promise<void>((resolve) => { opened = resolve; });
    // By its name alone: the whole path may be longer than an address of a socket (108 bytes, unix(7)).
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen({ path: socketName, exclusive: true }, resolve);
    });
    // Before the program runs, which may replace it.
    const socket = socketId(lstatSync(socketName, { bigint: true }));
    const pty = await openPty(this.#order, {
      onOutput: (bytes) => this.#output(bytes),
      onDrain: () => { for (const visitor of this.#visitors) visitor.resume(); },
      onExit: (code) => void isOpen.then(() => this.#ownerCame).then(() => this.#ended(code)),
    });
    this.#pty = pty;
    if (this.#order.typed !== null) this.#firstInput = new FirstInput(this.#order.typed, (bytes) => void pty.write(bytes));
    if (this.ring.end > 0) this.#firstInput?.shown();
    // One that has ended already was somebody, too.
    this.#program = await identify(pty.pid) ?? { pid: pty.pid, startTime: 'ended' };
    const holder = await identify(process.pid);
    if (holder === undefined) throw new Error('Cannot find out who this process is');
    const { about, workdir, size } = this.#order;
    const { backend } = pty;
    const record: TerminalRecord = { ...about, ...size, workdir, backend, holder, socket, program: this.#program };
    try {
      this.#note(record);
    } catch (error) {
      await this.end('closed');
      throw error;
    }
    this.#arm();
    opened();
    return record;
  }

  /** Makes the terminal one that every server finds. @throws Error where one has given it up meanwhile. */
  #note(record: TerminalRecord): void {
    writeOnce(recordFile, JSON.stringify(record));
    // It may have been moved away, and what stood here with it.
    const found = statFile(join(this.#order.directory, recordFile));
    if (found?.ino !== statFile(recordFile)?.ino) throw new Error('the directory of the terminal was removed');
  }

  /** Ends the program and all that it started. Resolves once they are gone. */
  async end(reason: TerminalReason, grace: number = graceMs): Promise<void> {
    this.#ending ??= reason;
    // What waits to be read must not keep anybody from ending.
    this.#pty?.resume();
    await terminate({ id: this.#order.about.terminalId, leader: this.#program }, { signal: 'SIGHUP', graceMs: grace });
  }

  input(visitor: Visitor, bytes: Buffer): boolean {
    if (visitor.role.is === 'viewer' && !visitor.role.isDeciding) return true;
    this.#lastActivityMs = Date.now();
    this.#firstInput?.type();
    this.#adopt(visitor.size);
    return this.#pty?.write(bytes) ?? true;
  }

  asked(visitor: Visitor, request: Asked): void {
    switch (request.kind) {
      case 'to':
        if (request.terminalId !== this.#order.about.terminalId) throw new Error('It is for another terminal');
        return;
      case 'attach':
        visitor.view(request.after, { ...request, withState: request.withState === true }, this.#size);
        if (request.after === null && request.withState === true && request.isDeciding) this.#repaint();
        if (request.isOwner) this.#welcome();
        return this.#tellState();
      case 'watch':
        visitor.role = { is: 'watcher' };
        visitor.tell(this.#state());
        return this.exit && visitor.ended();
      case 'resize':
        visitor.size = { cols: request.cols, rows: request.rows };
        return this.#adopt(visitor.size);
      case 'sync': return void this.#resized.then(() => visitor.tell({ kind: 'done' }));
      case 'end': return void this.end(request.reason, request.graceMs);
    }
  }

  moved(visitor: Visitor): void {
    if (!this.#isFarBehind(visitor, 4) || visitor.position >= (this.#leader() ?? 0)) visitor.isLeftBehind = false;
    this.#pace();
  }

  left(visitor: Visitor): void {
    this.#visitors.delete(visitor);
    if (visitor.role.is !== 'viewer') return;
    if (visitor.role.isOwner) void this.end('disconnected');
    this.#pace();
    this.#tellState();
  }

  #output(bytes: Buffer): void {
    this.replay.append(bytes);
    this.#lastActivityMs = Date.now();
    this.#firstInput?.shown();
    for (const visitor of this.#visitors) visitor.pump(bytes);
    this.#pace();
    this.#tellSoon();
  }

  /** Lets the program wait for those that decide, see above. */
  #pace(): void {
    const waitedFor = this.#ending === undefined ? this.#waitedFor() : [];
    if (!this.#isPaused && waitedFor.some((visitor) => this.#isFarBehind(visitor, 2))) {
      this.#isPaused = true;
      this.#pty?.pause();
      this.#watchStall();
    } else if (this.#isPaused && !waitedFor.some((visitor) => this.#isFarBehind(visitor, 4))) {
      this.#isPaused = false;
      clearTimeout(this.#stallCheck);
      this.#pty?.resume();
    }
  }

  /** Leaves behind those that are slower than the fastest, and the fastest where it takes nothing. */
  #watchStall(): void {
    const before = this.#leader();
    this.#stallCheck = setTimeout(() => {
      const leader = this.#leader();
      for (const visitor of this.#waitedFor()) {
        const isFastest = visitor.position === leader && leader !== before;
        if (!isFastest && this.#isFarBehind(visitor, 4)) visitor.isLeftBehind = true;
      }
      this.#pace();
      if (this.#isPaused) this.#watchStall();
    }, stallMs);
  }

  #waitedFor(): Visitor[] {
    return [...this.#visitors].filter(({ role, isLeftBehind }) => role.is === 'viewer' && role.isDeciding && !isLeftBehind);
  }

  /** @param part Of the ring: 2 is a half. */
  #isFarBehind({ position }: Visitor, part: number): boolean {
    return this.ring.end - position > this.ring.sizeBytes / part;
  }

  /** The offset that the fastest of those has; `undefined`: there are none. */
  #leader(): number | undefined {
    const positions = this.#waitedFor().map(({ position }) => position);
    return positions.length === 0 ? undefined : Math.max(...positions);
  }

  #adopt(size: TerminalSize | undefined): void {
    if (size === undefined || (size.cols === this.#wantedSize.cols && size.rows === this.#wantedSize.rows)) return;
    this.#wantedSize = size;
    this.#resized = (this.#pty?.resize(size) ?? Promise.resolve()).then(() => {
      this.#size = size;
      this.#tellState();
    });
  }

  /**
   * Has a program on the other screen show all of it, where a part of what it has shown is no longer kept: it does so when the size changes.
   * A viewer that only looks does not change what the program does.
   */
  #repaint(): void {
    if (this.ring.start === 0 || !this.replay.isOtherScreen()) return;
    const { cols, rows } = this.#wantedSize;
    void this.#pty?.resize({ cols, rows: rows > 1 ? rows - 1 : rows + 1 });
    clearTimeout(this.#repainting);
    this.#repainting = setTimeout(() => void this.#pty?.resize(this.#wantedSize), repaintMs);
  }

  #state(): Told {
    const attached = [...this.#visitors].filter(({ role }) => role.is === 'viewer').length;
    return { kind: 'state', ...this.#size, attached, lastActivityAt: this.#lastActivityMs / 1000 };
  }

  #tellState(): void {
    for (const visitor of this.#visitors) if (visitor.role.is === 'watcher') visitor.tell(this.#state());
  }

  #tellSoon(): void {
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      this.#tellState();
    }, tellMs);
  }

  /** Whatever ends it one day, besides itself. */
  #arm(): void {
    const { idleSeconds, lifetimeSeconds, about } = this.#order;
    if (lifetimeSeconds !== null) this.#cancels.push(longTimeout(() => void this.end('lifetime'), lifetimeSeconds * 1000));
    if (idleSeconds !== null) this.#awaitIdle(idleSeconds * 1000);
    if (!about.ofConnection) return;
    this.#ownerCame = new Promise((resolve) => { this.#welcome = resolve; });
    const overdue = setTimeout(() => {
      this.#welcome();
      void this.end('disconnected');
    }, ownerMs);
    void this.#ownerCame.then(() => clearTimeout(overdue));
  }

  #awaitIdle(limitMs: number): void {
    const leftMs = this.#lastActivityMs + limitMs - Date.now();
    if (leftMs <= 0) return void this.end('idle');
    this.#cancels.push(longTimeout(() => this.#awaitIdle(limitMs), leftMs));
  }

  #ended(exitCode: number): void {
    for (const cancel of this.#cancels) cancel();
    this.#firstInput?.cancel();
    clearTimeout(this.#stallCheck);
    clearTimeout(this.#telling);
    clearTimeout(this.#repainting);
    this.exit = {
      exitCode, reason: this.#ending ?? 'exit', finishedAt: Date.now() / 1000, lastActivityAt: this.#lastActivityMs / 1000,
      ...this.#size, outputBytes: this.ring.end,
    };
    try {
      const { offset, state } = this.replay.joinPoint({ isFresh: true });
      replaceFile('scrollback', Buffer.concat([state, this.ring.read(offset, this.ring.end - offset)]));
    } finally {
      // Without the scrollback, where the disk is full; without this, too, it counts as lost.
      replaceFile('exit', JSON.stringify(this.exit));
      this.#server.close();
      for (const visitor of this.#visitors) visitor.ended();
      this.#leave();
    }
  }

  /** The process ends with its last visitor: those who still read the rest have time as long as they do. */
  #leave(): void {
    let before = '';
    const check = setInterval(() => {
      const places = [...this.#visitors].map(({ position }) => position).join();
      if (places === before) for (const visitor of this.#visitors) visitor.destroy();
      before = places;
    }, lastWordsMs);
    check.unref();
  }
}

/** Where a package of the user's cannot be loaded, script(1) must do. */
async function openPty(order: HolderOrder, events: PtyEvents): Promise<Pty> {
  const { backend, env } = order;
  if (backend.modulePath === undefined) return openScriptPty('.', order, events);
  try {
    return openNodePty(backend.name, backend.modulePath, order, events);
  } catch (error) {
    if (scriptBackend(env['PATH']) === undefined) throw error;
    return openScriptPty('.', order, events);
  }
}

/** Whole or not at all, and never over one that is there: link(2). */
function writeOnce(name: string, content: string): void {
  const beside = `${name}.${process.pid}`;
  createFile(beside, content);
  try {
    linkSync(beside, name);
  } finally {
    rmSync(beside, { force: true });
  }
}
