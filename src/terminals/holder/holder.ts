/**
 * Holds one terminal, in a process of its own, so that it outlives every server. The latest output is kept in a ring; a
 * client that connects to the Unix socket in the terminal's directory gets that output, then the live output.
 *
 * The program waits for its viewers, as under ssh, but at most a second for a viewer that is slower than the fastest,
 * or that takes nothing: that viewer then lags. Once the ring has overtaken it, it skips the lost output and is
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
import { replaceFile } from '../../base/files/atomic-file.ts';
import { createFile, statFile } from '../../base/files/untrusted-file.ts';
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
const stateIntervalMs = 1000;
/** From SIGHUP to SIGKILL. */
const graceMs = 2000;
/** After the program has ended: when no viewer has taken output for this long, all connections are closed. */
const lingerMs = 10_000;
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
  readonly #config: HolderConfig;
  readonly #connections = new Set<ViewerConnection>();
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
  #stallTimer: NodeJS.Timeout | undefined;
  #stateTimer: NodeJS.Timeout | undefined;
  #repaintTimer: NodeJS.Timeout | undefined;
  /**
   * For a terminal of one connection: resolves when that has come. Until then a program that has ended does not end the
   * terminal, so that the client still gets its output.
   */
  #ownerAttached: Promise<void> = Promise.resolve();
  #resolveOwner: () => void = () => undefined;
  /** Why the terminal is being ended; `undefined`: it is not. */
  #ending: TerminalReason | undefined;

  private constructor(config: HolderConfig) {
    this.#config = config;
    this.#size = config.size;
    this.#wantedSize = config.size;
    this.ring = new RingBuffer(config.scrollbackBytes);
    this.replay = new Replay(this.ring);
    this.#server = createServer((socket) => { this.#connections.add(new ViewerConnection(socket, this)); });
  }

  /** Starts the program. @throws Error where it cannot be started. @returns The content of terminal.json. */
  static async open(config: HolderConfig): Promise<{ readonly holder: Holder; readonly record: TerminalRecord }> {
    process.chdir(config.directory);
    const holder = new Holder(config);
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
    const pty = await openPty(this.#config, {
      onOutput: (bytes) => this.#handleOutput(bytes),
      onDrain: () => { for (const connection of this.#connections) connection.resume(); },
      onExit: (code) => void isOpen.then(() => this.#ownerAttached).then(() => this.#handleExit(code)),
    });
    this.#pty = pty;
    if (this.#config.typed !== null) {
      this.#firstInput = new FirstInput(this.#config.typed, (bytes) => void pty.write(bytes));
    }
    if (this.ring.end > 0) this.#firstInput?.shown();
    // The program may have ended already.
    this.#program = await identify(pty.pid) ?? { pid: pty.pid, startTime: 'ended' };
    const holder = await identify(process.pid);
    if (holder === undefined) throw new Error('Cannot find out who this process is');
    const { about, workdir, size } = this.#config;
    const { backend } = pty;
    const record: TerminalRecord = { ...about, ...size, workdir, backend, holder, socket, program: this.#program };
    try {
      this.#writeRecord(record);
    } catch (error) {
      await this.end('closed');
      throw error;
    }
    this.#startTimers();
    opened();
    return record;
  }

  /**
   * Writes the record, so that every server finds the terminal.
   *
   * @throws Error where a server has discarded it meanwhile.
   */
  #writeRecord(record: TerminalRecord): void {
    writeOnce(recordFile, JSON.stringify(record));
    // The directory may have been moved away, with the file in it.
    const found = statFile(join(this.#config.directory, recordFile));
    if (found?.ino !== statFile(recordFile)?.ino) throw new Error('the directory of the terminal was removed');
  }

  /** Ends the program and all that it started. Resolves once they are gone. */
  async end(reason: TerminalReason, grace: number = graceMs): Promise<void> {
    this.#ending ??= reason;
    // Unread output must not keep a process from ending.
    this.#pty?.resume();
    await terminate({ id: this.#config.about.terminalId, leader: this.#program }, { signal: 'SIGHUP', graceMs: grace });
  }

  handleInput(connection: ViewerConnection, bytes: Buffer): boolean {
    if (connection.role.type === 'viewer' && !connection.role.isDeciding) return true;
    this.#lastActivityMs = Date.now();
    this.#firstInput?.type();
    this.#requestSize(connection.size);
    return this.#pty?.write(bytes) ?? true;
  }

  handleCommand(connection: ViewerConnection, command: HolderCommand): void {
    switch (command.kind) {
      case 'to':
        if (command.terminalId !== this.#config.about.terminalId) throw new Error('It is for another terminal');
        return;
      case 'attach':
        connection.view(command.after, { ...command, withState: command.withState === true }, this.#size);
        if (command.after === null && command.withState === true && command.isDeciding) this.#repaint();
        if (command.isOwner) this.#resolveOwner();
        return this.#sendState();
      case 'watch':
        connection.role = { type: 'watcher' };
        connection.send(this.#state());
        return this.exit && connection.handleExit();
      case 'resize':
        connection.size = { cols: command.cols, rows: command.rows };
        return this.#requestSize(connection.size);
      case 'sync': return void this.#resized.then(() => connection.send({ kind: 'done' }));
      case 'end': return void this.end(command.reason, command.graceMs);
    }
  }

  handleProgress(connection: ViewerConnection): void {
    if (!this.#isFarBehind(connection, 4) || connection.position >= (this.#leadingPosition() ?? 0)) {
      connection.isLagging = false;
    }
    this.#pauseOrResume();
  }

  handleClose(connection: ViewerConnection): void {
    this.#connections.delete(connection);
    if (connection.role.type !== 'viewer') return;
    if (connection.role.isOwner) void this.end('disconnected');
    this.#pauseOrResume();
    this.#sendState();
  }

  #handleOutput(bytes: Buffer): void {
    this.replay.append(bytes);
    this.#lastActivityMs = Date.now();
    this.#firstInput?.shown();
    for (const connection of this.#connections) connection.pump(bytes);
    this.#pauseOrResume();
    this.#sendStateSoon();
  }

  /** Pauses the program while a deciding viewer is far behind, see above. */
  #pauseOrResume(): void {
    const awaited = this.#ending === undefined ? this.#awaitedViewers() : [];
    if (!this.#isPaused && awaited.some((connection) => this.#isFarBehind(connection, 2))) {
      this.#isPaused = true;
      this.#pty?.pause();
      this.#watchStall();
    } else if (this.#isPaused && !awaited.some((connection) => this.#isFarBehind(connection, 4))) {
      this.#isPaused = false;
      clearTimeout(this.#stallTimer);
      this.#pty?.resume();
    }
  }

  /** Leaves behind the viewers that are slower than the fastest, and the fastest if it takes nothing. */
  #watchStall(): void {
    const before = this.#leadingPosition();
    this.#stallTimer = setTimeout(() => {
      const leader = this.#leadingPosition();
      for (const connection of this.#awaitedViewers()) {
        const isFastest = connection.position === leader && leader !== before;
        if (!isFastest && this.#isFarBehind(connection, 4)) connection.isLagging = true;
      }
      this.#pauseOrResume();
      if (this.#isPaused) this.#watchStall();
    }, stallMs);
  }

  #awaitedViewers(): ViewerConnection[] {
    return [...this.#connections]
      .filter(({ role, isLagging }) => role.type === 'viewer' && role.isDeciding && !isLagging);
  }

  /** @param part Divisor of the size of the ring: 2 is half of it. */
  #isFarBehind({ position }: ViewerConnection, part: number): boolean {
    return this.ring.end - position > this.ring.sizeBytes / part;
  }

  /** Offset of the fastest viewer that the program waits for; `undefined` without viewers. */
  #leadingPosition(): number | undefined {
    const positions = this.#awaitedViewers().map(({ position }) => position);
    return positions.length === 0 ? undefined : Math.max(...positions);
  }

  #requestSize(size: TerminalSize | undefined): void {
    if (size === undefined || (size.cols === this.#wantedSize.cols && size.rows === this.#wantedSize.rows)) return;
    this.#wantedSize = size;
    this.#resized = (this.#pty?.resize(size) ?? Promise.resolve()).then(() => {
      this.#size = size;
      this.#sendState();
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
    clearTimeout(this.#repaintTimer);
    this.#repaintTimer = setTimeout(() => void this.#pty?.resize(this.#wantedSize), repaintMs);
  }

  #state(): HolderEvent {
    const attached = [...this.#connections].filter(({ role }) => role.type === 'viewer').length;
    return { kind: 'state', ...this.#size, attached, lastActivityAt: this.#lastActivityMs / 1000 };
  }

  #sendState(): void {
    for (const connection of this.#connections) if (connection.role.type === 'watcher') connection.send(this.#state());
  }

  #sendStateSoon(): void {
    this.#stateTimer ??= setTimeout(() => {
      this.#stateTimer = undefined;
      this.#sendState();
    }, stateIntervalMs);
  }

  /** Starts the timers that may end the terminal. */
  #startTimers(): void {
    const { idleSeconds, lifetimeSeconds, about } = this.#config;
    if (lifetimeSeconds !== null) {
      this.#cancels.push(longTimeout(() => void this.end('lifetime'), lifetimeSeconds * 1000));
    }
    if (idleSeconds !== null) this.#awaitIdle(idleSeconds * 1000);
    if (!about.ofConnection) return;
    this.#ownerAttached = new Promise((resolve) => { this.#resolveOwner = resolve; });
    const overdue = setTimeout(() => {
      this.#resolveOwner();
      void this.end('disconnected');
    }, ownerMs);
    void this.#ownerAttached.then(() => clearTimeout(overdue));
  }

  #awaitIdle(limitMs: number): void {
    const leftMs = this.#lastActivityMs + limitMs - Date.now();
    if (leftMs <= 0) return void this.end('idle');
    this.#cancels.push(longTimeout(() => this.#awaitIdle(limitMs), leftMs));
  }

  #handleExit(exitCode: number): void {
    for (const cancel of this.#cancels) cancel();
    this.#firstInput?.cancel();
    clearTimeout(this.#stallTimer);
    clearTimeout(this.#stateTimer);
    clearTimeout(this.#repaintTimer);
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
      for (const connection of this.#connections) connection.handleExit();
      this.#closeIdleConnections();
    }
  }

  /** The process ends with its last connection. A viewer that still takes output has all the time it needs. */
  #closeIdleConnections(): void {
    let before = '';
    const check = setInterval(() => {
      const positions = [...this.#connections].map(({ position }) => position).join();
      if (positions === before) for (const connection of this.#connections) connection.destroy();
      before = positions;
    }, lingerMs);
    check.unref();
  }
}

/** Uses script(1) where the user's package cannot be loaded. */
async function openPty(config: HolderConfig, events: PtyEvents): Promise<Pty> {
  const { backend, env } = config;
  if (backend.modulePath === undefined) return openScriptPty('.', config, events);
  try {
    return openNodePty(backend.name, backend.modulePath, config, events);
  } catch (error) {
    if (scriptBackend(env['PATH']) === undefined) throw error;
    return openScriptPty('.', config, events);
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
