/**
 * Holds one terminal, in a process of its own, so that it outlives every server. The latest output is kept in a ring; a
 * client that connects to the Unix socket in the terminal's directory gets that output, then the live output.
 *
 * The program waits for its viewers, as under ssh, but at most a second for a viewer that is slower than the fastest,
 * or that takes nothing: that viewer is left behind. Once the ring has overtaken it, it skips the lost output and is
 * told how much that was. The program waits for it again once it has caught up. So a short delay costs a viewer
 * nothing, and a slow viewer costs the others a second. The holder knows what a viewer was sent, not what it has read:
 * connection buffers hold megabytes, so a viewer that reads nothing seems to be the fastest at first.
 *
 * The size of the terminal is the one that the viewer that acted last has requested, as with tmux's `window-size
 * latest`.
 * @module
 */
import { linkSync, lstatSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { longTimeout } from '../../base/long-timeout.ts';
import { replaceFile } from '../../base/atomic-file.ts';
import { createFile, statFile } from '../../base/untrusted-file.ts';
import { type Identity, identify } from '../../process/identity.ts';
// Imported statically: an update may have removed the files of this version later.
import { terminate } from '../../process/terminate.ts';
import type { TerminalReason, TerminalSize } from '../../protocol/terminals.ts';
import { type Backend, scriptBackend } from '../backend.ts';
import type { HolderCommand, HolderEvent } from '../frames.ts';
import { openNodePty, openScriptPty, type Pty, type PtyEvents, type PtyOptions } from './pty.ts';
import type { TerminalExit, TerminalRecord } from '../record.ts';
import { RingBuffer } from '../../base/ring-buffer.ts';
import { Replay } from './replay.ts';
import { FirstInput } from './first-input.ts';
import { socketId, socketName } from '../socket-path.ts';
import { type TerminalHost, ViewerConnection } from './viewer-connection.ts';

/** What the server passes to a new holder. */
export interface HolderConfig extends PtyOptions {
  /** The directory of the terminal; the holder works in it. */
  readonly directory: string;
  readonly about: Pick<
    TerminalRecord,
    'terminalId' | 'name' | 'command' | 'ofConnection' | 'idempotency' | 'createdAt' | 'warnings'
  >;
  readonly backend: Backend;
  readonly scrollbackBytes: number;
  /** Text typed into the program once it is ready; `null`: nothing. */
  readonly typed: string | null;
  /** The terminal is ended after this long without input and output; `null`: never. */
  readonly idleSeconds: number | null;
  readonly lifetimeSeconds: number | null;
}

/** How long the program waits for a viewer that is behind. */
const stallMs = 1000;
const recordFile = 'terminal.json';
/** Shortest interval between messages to watchers about mere activity. */
const tellMs = 1000;
/** From SIGHUP to SIGKILL. */
const graceMs = 2000;
/** After the program has ended: when no viewer has taken output for this long, all connections are closed. */
const lastWordsMs = 10_000;
/**
 * Time between the two size changes of a repaint. The program must see the first before the second: curses ignores a
 * change that was undone.
 */
const repaintMs = 200;
/** How long a terminal for one connection waits for it. */
const ownerMs = 30_000;

export class Holder implements TerminalHost {
  readonly ring: RingBuffer;
  readonly replay: Replay;
  exit: TerminalExit | undefined;
  readonly #order: HolderConfig;
  readonly #visitors = new Set<ViewerConnection>();
  readonly #server: Server;
  readonly #cancels: (() => void)[] = [];
  #pty: Pty | undefined;
  #firstInput: FirstInput | undefined;
  #program: Identity | undefined;
  /** The size that the program has, and the one that was requested last. */
  #size: TerminalSize;
  #wantedSize: TerminalSize;
  #resized: Promise<void> = Promise.resolve();
  #lastActivityMs = Date.now();
  #isPaused = false;
  #stallCheck: NodeJS.Timeout | undefined;
  #telling: NodeJS.Timeout | undefined;
  #repainting: NodeJS.Timeout | undefined;
  /**
   * For a terminal of one connection: resolves when that has come. Until then a program that has ended does not end the
   * terminal, so that the client still gets its output.
   */
  #ownerCame: Promise<void> = Promise.resolve();
  #welcome: () => void = () => undefined;
  /** Why the terminal is being ended; `undefined`: it is not. */
  #ending: TerminalReason | undefined;

  private constructor(order: HolderConfig) {
    this.#order = order;
    this.#size = order.size;
    this.#wantedSize = order.size;
    this.ring = new RingBuffer(order.scrollbackBytes);
    this.replay = new Replay(this.ring);
    this.#server = createServer((socket) => { this.#visitors.add(new ViewerConnection(socket, this)); });
  }

  /** Starts the program. @throws Error where it cannot be started. @returns The content of terminal.json. */
  static async open(order: HolderConfig): Promise<{ readonly holder: Holder; readonly record: TerminalRecord }> {
    process.chdir(order.directory);
    const holder = new Holder(order);
    return { holder, record: await holder.#open() };
  }

  async #open(): Promise<TerminalRecord> {
    let opened = (): void => undefined;
    const isOpen = new Promise<void>((resolve) => { opened = resolve; });
    // By its name alone: the whole path may be longer than a socket address (108 bytes, unix(7)).
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen({ path: socketName, exclusive: true }, resolve);
    });
    // Read before the program runs, as the program may replace the socket.
    const socket = socketId(lstatSync(socketName, { bigint: true }));
    const pty = await openPty(this.#order, {
      onOutput: (bytes) => this.#output(bytes),
      onDrain: () => { for (const visitor of this.#visitors) visitor.resume(); },
      onExit: (code) => void isOpen.then(() => this.#ownerCame).then(() => this.#ended(code)),
    });
    this.#pty = pty;
    if (this.#order.typed !== null) {
      this.#firstInput = new FirstInput(this.#order.typed, (bytes) => void pty.write(bytes));
    }
    if (this.ring.end > 0) this.#firstInput?.shown();
    // The program may have ended already.
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

  /**
   * Writes the record, so that every server finds the terminal.
   *
   * @throws Error where a server has discarded it meanwhile.
   */
  #note(record: TerminalRecord): void {
    writeOnce(recordFile, JSON.stringify(record));
    // The directory may have been moved away, with the file in it.
    const found = statFile(join(this.#order.directory, recordFile));
    if (found?.ino !== statFile(recordFile)?.ino) throw new Error('the directory of the terminal was removed');
  }

  /** Ends the program and all that it started. Resolves once they are gone. */
  async end(reason: TerminalReason, grace: number = graceMs): Promise<void> {
    this.#ending ??= reason;
    // Unread output must not keep a process from ending.
    this.#pty?.resume();
    await terminate({ id: this.#order.about.terminalId, leader: this.#program }, { signal: 'SIGHUP', graceMs: grace });
  }

  input(visitor: ViewerConnection, bytes: Buffer): boolean {
    if (visitor.role.is === 'viewer' && !visitor.role.isDeciding) return true;
    this.#lastActivityMs = Date.now();
    this.#firstInput?.type();
    this.#adopt(visitor.size);
    return this.#pty?.write(bytes) ?? true;
  }

  asked(visitor: ViewerConnection, request: HolderCommand): void {
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

  moved(visitor: ViewerConnection): void {
    if (!this.#isFarBehind(visitor, 4) || visitor.position >= (this.#leader() ?? 0)) visitor.isLeftBehind = false;
    this.#pace();
  }

  left(visitor: ViewerConnection): void {
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

  /** Pauses the program while a deciding viewer is far behind, see above. */
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

  /** Leaves behind the viewers that are slower than the fastest, and the fastest if it takes nothing. */
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

  #waitedFor(): ViewerConnection[] {
    return [...this.#visitors]
      .filter(({ role, isLeftBehind }) => role.is === 'viewer' && role.isDeciding && !isLeftBehind);
  }

  /** @param part Divisor of the size of the ring: 2 is half of it. */
  #isFarBehind({ position }: ViewerConnection, part: number): boolean {
    return this.ring.end - position > this.ring.sizeBytes / part;
  }

  /** Offset of the fastest viewer that the program waits for; `undefined` without viewers. */
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
   * Makes a program on the alternate screen redraw it, by a change of size, where part of its output is no longer
   * kept. Not for a read-only viewer, which must not affect the program.
   */
  #repaint(): void {
    if (this.ring.start === 0 || !this.replay.isOtherScreen()) return;
    const { cols, rows } = this.#wantedSize;
    void this.#pty?.resize({ cols, rows: rows > 1 ? rows - 1 : rows + 1 });
    clearTimeout(this.#repainting);
    this.#repainting = setTimeout(() => void this.#pty?.resize(this.#wantedSize), repaintMs);
  }

  #state(): HolderEvent {
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

  /** Starts the timers that may end the terminal. */
  #arm(): void {
    const { idleSeconds, lifetimeSeconds, about } = this.#order;
    if (lifetimeSeconds !== null) {
      this.#cancels.push(longTimeout(() => void this.end('lifetime'), lifetimeSeconds * 1000));
    }
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
      exitCode, reason: this.#ending ?? 'exit',
      finishedAt: Date.now() / 1000, lastActivityAt: this.#lastActivityMs / 1000,
      ...this.#size, outputBytes: this.ring.end,
    };
    try {
      const { offset, state } = this.replay.joinPoint({ isFresh: true });
      replaceFile('scrollback', Buffer.concat([state, this.ring.read(offset, this.ring.end - offset)]));
    } finally {
      // Also where the scrollback could not be written (full disk); if this fails too, the terminal counts as lost.
      replaceFile('exit', JSON.stringify(this.exit));
      this.#server.close();
      for (const visitor of this.#visitors) visitor.ended();
      this.#leave();
    }
  }

  /** The process ends with its last connection. A viewer that still takes output has all the time it needs. */
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

/** Uses script(1) where the user's package cannot be loaded. */
async function openPty(order: HolderConfig, events: PtyEvents): Promise<Pty> {
  const { backend, env } = order;
  if (backend.modulePath === undefined) return openScriptPty('.', order, events);
  try {
    return openNodePty(backend.name, backend.modulePath, order, events);
  } catch (error) {
    if (scriptBackend(env['PATH']) === undefined) throw error;
    return openScriptPty('.', order, events);
  }
}

/** Writes a file completely or not at all, and never over an existing one: link(2). */
function writeOnce(name: string, content: string): void {
  const beside = `${name}.${process.pid}`;
  createFile(beside, content);
  try {
    linkSync(beside, name);
  } finally {
    rmSync(beside, { force: true });
  }
}
