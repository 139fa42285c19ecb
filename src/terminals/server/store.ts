/**
 * Terminals on disk: a terminal is a directory.
 *
 * ```
 * terminals/<terminalId>/  terminal.json   what it is; written by its holder, once
 *                          socket          the holder's, while it runs
 *                          scrollback      the end of what it showed, once it has ended
 *                          exit            how it ended
 *                          log             what its holder died of, where it did
 * ```
 * @module
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { replaceFile } from '../../base/files/atomic-file.ts';
import { errorCode } from '../../base/error-code.ts';
import { makeOwnFolder } from '../../base/files/make-folder.ts';
import {
  createFile, isBehindLink, isExhaustion, isLink, readRegularLater, statFile, UntrustedFileError,
} from '../../base/files/untrusted-file.ts';
import { type JsonBounds, readJson, recordBounds } from '../../base/files/untrusted-json.ts';
import { Trash } from '../../process/state/trash.ts';
import { isJobId } from '../../protocol/ids.ts';
import type { TerminalId } from '../../protocol/terminals.ts';
import { mayHold, parseTerminalExit, parseTerminalRecord, type TerminalExit, type TerminalRecord } from '../record.ts';

/** Bounds of `exit`, which has seven fields. */
const exitBounds: JsonBounds = { maxBytes: 65_536, maxTokens: 1000 };
/** The largest scrollback that can be configured, plus the state of the terminal before it. */
export const maxScrollbackBytes: number = 65 * 2 ** 20;

export interface SkippedTerminal {
  readonly name: string;
  readonly why: string;
  /** Pid of the holder that its record names, if any. */
  readonly holderPid: number | undefined;
}

export class TerminalStore {
  readonly #terminals: string;
  readonly #trash: Trash;

  constructor(stateDir: string) {
    this.#terminals = join(stateDir, 'terminals');
    this.#trash = new Trash(stateDir);
  }

  get folder(): string {
    return this.#terminals;
  }

  directory(id: TerminalId): string {
    return join(this.#terminals, id);
  }

  /** Makes the directory of a new terminal, accessible to its owner only. @throws The system's error. */
  create(id: TerminalId): void {
    makeOwnFolder(this.#terminals);
    mkdirSync(this.directory(id), { mode: 0o700 });
  }

  /**
   * Reads all terminals, oldest first, and lists the entries that are not valid. Discards terminals whose creation was
   * never finished.
   */
  readAll(): { readonly records: readonly TerminalRecord[]; readonly skipped: readonly SkippedTerminal[] } {
    const records: TerminalRecord[] = [];
    const skipped: SkippedTerminal[] = [];
    const aside = statFile(this.#terminals) === undefined ? undefined : makeOwnFolder(this.#terminals);
    if (aside !== undefined) {
      skipped.push({
        name: basename(this.#terminals),
        why: `it was no directory of ours: it is ${basename(aside)} now`,
        holderPid: undefined,
      });
    }
    for (const name of namesIn(this.#terminals)) {
      let value: unknown;
      try {
        if (!isJobId(name)) throw new Error('its name is not that of a terminal');
        if (isLink(this.directory(name))) throw new Error('it is a link, not a directory');
        if (this.#discardUnfinished(name)) continue;
        value = readJson(join(this.directory(name), 'terminal.json'), recordBounds);
        const record = parseTerminalRecord(value);
        if (record.terminalId !== name) throw new Error(`its terminal.json is that of ${record.terminalId}`);
        if (!mayHold(name, record.holder)) throw new Error('its terminal.json names another process as its holder');
        records.push(record);
      } catch (error) {
        // Nothing is wrong with the terminal: it must not be passed over.
        if (isExhaustion(error)) throw error;
        skipped.push({ name, why: (error as Error).message, holderPid: holderIn(name, value) });
      }
    }
    // In one process, as there may be thousands, and once the server has started.
    setImmediate(() => void this.#trash.empty());
    return { records, skipped };
  }

  /** How the terminal ended; `undefined` until then. */
  readExit(id: TerminalId): TerminalExit | undefined {
    try {
      this.#check(id);
      return parseTerminalExit(readJson(join(this.directory(id), 'exit'), exitBounds));
    } catch {
      // It is missing or not ours: whether the holder is alive decides.
      return undefined;
    }
  }

  /** Writes how a terminal ended, where its holder could not. A full disk must not keep clients from being told. */
  writeExit(id: TerminalId, exit: TerminalExit): void {
    try {
      if (isBehindLink(this.directory(id))) return;
      replaceFile(join(this.directory(id), 'exit'), JSON.stringify(exit));
    } catch {
      // The next server finds out by itself.
    }
  }

  /** The end of its output; empty where that was not kept. */
  async readScrollback(id: TerminalId): Promise<Buffer> {
    try {
      this.#check(id);
      return await readRegularLater(join(this.directory(id), 'scrollback'), maxScrollbackBytes);
    } catch {
      return Buffer.alloc(0);
    }
  }

  async remove(id: TerminalId): Promise<void> {
    // Nothing there is ours.
    if (isLink(this.#terminals)) return;
    await this.#trash.remove(this.directory(id));
  }

  #check(id: TerminalId): void {
    if (isBehindLink(this.directory(id))) {
      throw new UntrustedFileError(`the directory of terminal ${id} was replaced by a link`);
    }
  }

  /**
   * Discards a terminal whose holder never wrote its record, because its server was killed meanwhile. The empty file
   * takes the name of the record, which a holder writes only if the name is free: one that is still starting then ends.
   *
   * @returns Whether it was discarded.
   */
  #discardUnfinished(id: TerminalId): boolean {
    const path = join(this.directory(id), 'terminal.json');
    try {
      createFile(path, '');
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
      const stats = statFile(path);
      if (stats?.isFile() !== true || stats.size > 0) return false;
    }
    this.#trash.put(this.directory(id));
    return true;
  }
}

/** @param value A record, possibly of a later version. */
function holderIn(name: string, value: unknown): number | undefined {
  const { terminalId, holder } = (value ?? {}) as { readonly terminalId?: unknown; readonly holder?: unknown };
  const { pid } = (holder ?? {}) as { readonly pid?: unknown };
  return terminalId === name && typeof pid === 'number' ? pid : undefined;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    return [];
  }
}
