/**
 * What the thread of a search is told and tells, and the search itself.
 * @module
 */
import { closeSync } from 'node:fs';
import { errorCode } from '../../base/error-code.ts';
import type { FileType } from '../../protocol/files.ts';
import { type EngineEnd, type Found, shownLine } from './found.ts';
import { scanFile } from './scan.ts';
import { openFileAt, type WalkEntry, Walker, type WalkOptions } from './walk.ts';

export interface SearchOrder {
  readonly walk: WalkOptions;
  /** `undefined`: by name alone. */
  readonly content: { readonly js: string; readonly isCaseSensitive: boolean } | undefined;
  readonly type: FileType | undefined;
  readonly before: number;
  readonly after: number;
  readonly lineCharacters: number;
}

/** What the thread tells: a batch, or the end. */
export type SearchNews =
  | { readonly type: 'found'; readonly found: readonly Found[] }
  | { readonly type: 'end'; readonly end: EngineEnd };

/** How many batches may wait for the server. */
export const maxBatches = 4;

const batchCharacters = 65_536;
const batchMs = 50;

/** Searches to the end. @param send Waits while too much is under way. */
export function search(order: SearchOrder, send: (news: SearchNews) => void): void {
  new Search(order, send).run();
}

class Search {
  readonly #order: SearchOrder;
  readonly #send: (news: SearchNews) => void;
  readonly #expression: RegExp | undefined;
  #batch: Found[] = [];
  #characters = 0;
  #sentAtMs = performance.now();
  #unreadable = 0;
  #longLines = 0;

  constructor(order: SearchOrder, send: (news: SearchNews) => void) {
    this.#order = order;
    this.#send = send;
    const { content } = order;
    this.#expression = content && new RegExp(content.js, content.isCaseSensitive ? 'gu' : 'giu');
  }

  run(): void {
    const walker = new Walker(this.#order.walk);
    for (const entry of walker.entries()) {
      if (this.#expression === undefined) this.#name(entry);
      else if (entry.type === 'file') this.#content(entry, this.#expression);
      if (this.#batch.length > 0 && performance.now() - this.#sentAtMs > batchMs) this.#flush();
    }
    this.#flush();
    const unreadable = this.#unreadable + walker.unreadable;
    this.#send({ type: 'end', end: { unreadable, longLines: this.#longLines } });
  }

  #name({ path, type }: WalkEntry): void {
    if (this.#order.type !== undefined && type !== this.#order.type) return;
    this.#add({ path: path.join('/'), record: { type: 'file', fileType: type } }, 0);
  }

  #content({ path, place }: WalkEntry, expression: RegExp): void {
    const { before, after, lineCharacters } = this.#order;
    const shownPath = path.join('/');
    try {
      const descriptor = openFileAt(place);
      try {
        this.#longLines += scanFile(descriptor, {
          expression, before, after,
          onLine: (line) => this.#add({ path: shownPath, record: shownLine(line, lineCharacters) }, line.text.length),
        });
      } finally {
        closeSync(descriptor);
      }
    } catch (error) {
      if (errorCode(error) === '') throw error;
      this.#unreadable += 1;
    }
  }

  #add(found: Found, characters: number): true {
    this.#batch.push(found);
    this.#characters += found.path.length + Math.min(characters, this.#order.lineCharacters) + 100;
    if (this.#characters > batchCharacters) this.#flush();
    return true;
  }

  #flush(): void {
    if (this.#batch.length > 0) this.#send({ type: 'found', found: this.#batch });
    this.#batch = [];
    this.#characters = 0;
    this.#sentAtMs = performance.now();
  }
}
