/**
 * Records the turns of an agent for its runner: each when it begins, and again when it ends.
 * @module
 */
import { truncate } from '../base/text/truncate.ts';
import { type AgentTurn, type TurnUsage, maxTurnTextCharacters } from '../protocol/agents/job-details.ts';

/** A turn as a line of its file: the text is cut; the whole text is in stdout. */
export interface TurnRecord extends AgentTurn {
  /** Where the text begins in stdout, in bytes; `null` if not all of it could be written. */
  readonly textOffset: number | null;
  readonly textBytes: number;
}

export interface TurnLogOptions {
  /** Writes a record; of several for one turn the last is valid. May throw: then it is tried again. */
  readonly write: (turn: TurnRecord) => void;
  /** Bytes of text that were written so far, for all turns. */
  readonly textEnd: () => number;
}

/** Records that could not be written, for example on a full disk, and are tried again. */
const maxUnwritten = 100;

export class TurnLog {
  readonly #options: TurnLogOptions;
  #turn: TurnRecord | undefined;
  /** Whether text came after the end of the turn: some agents answer before they have sent everything. */
  #isGrown = false;
  readonly #unwritten: TurnRecord[] = [];

  constructor(options: TurnLogOptions) {
    this.#options = options;
  }

  begin(turn: number): void {
    this.settle();
    this.#turn = {
      turn, text: '', isTextCut: false, stopReason: null, usage: null, denied: 0,
      startedAt: Date.now() / 1000, finishedAt: null,
      textOffset: this.#options.textEnd(), textBytes: 0,
    };
    this.#write(this.#turn);
  }

  /** Adds a part of the message, which was written to stdout already, as far as that succeeded. */
  add(piece: string): void {
    const turn = this.#turn;
    if (!turn) return;
    const textBytes = turn.textBytes + Buffer.byteLength(piece);
    this.#turn = { ...turn, ...(turn.isTextCut ? {} : appendText(turn.text, piece)), textBytes };
    this.#isGrown ||= turn.finishedAt !== null;
  }

  countDenial(): void {
    if (this.#turn?.finishedAt === null) this.#turn = { ...this.#turn, denied: this.#turn.denied + 1 };
  }

  end(stopReason: string, usage: TurnUsage | null): void {
    if (!this.#turn) return;
    this.#turn = { ...this.#turn, stopReason, usage, finishedAt: Date.now() / 1000 };
    this.#write(this.#turn);
  }

  /** Writes what is not written yet, if there is room. */
  settle(): void {
    if (this.#turn && this.#isGrown) this.#write(this.#turn);
    else this.#flush();
    this.#isGrown = false;
  }

  #write(turn: TurnRecord): void {
    const { textOffset, textBytes } = turn;
    const isWhole = textOffset !== null && this.#options.textEnd() - textOffset === textBytes;
    this.#unwritten.push(isWhole ? turn : { ...turn, textOffset: null });
    if (this.#unwritten.length > maxUnwritten) this.#unwritten.shift();
    this.#flush();
  }

  #flush(): void {
    try {
      for (let [first] = this.#unwritten; first !== undefined; [first] = this.#unwritten) {
        this.#options.write(first);
        this.#unwritten.shift();
      }
    } catch {
      // The disk may be full: tried again with the next state of the agent.
    }
  }
}

/** The text as it is read from stdout, which cannot hold half of a character. */
function appendText(text: string, piece: string): Pick<AgentTurn, 'text' | 'isTextCut'> {
  const more = Buffer.from(truncate(piece, maxTurnTextCharacters + 1)).toString();
  const start = truncate(text + more, maxTurnTextCharacters);
  return { text: start, isTextCut: start.length < text.length + piece.length };
}
