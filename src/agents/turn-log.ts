/**
 * The turns of an agent, as its runner tells of them: each once it has begun, and again once it has ended.
 * @module
 */
import { type AgentTurn, type TurnUsage, maxTurnTextCharacters } from '../protocol/agent-jobs.ts';
import { beginning } from './lenient.ts';

/** A turn as a line of its file has it: the text is cut, and the whole of it stands in stdout. */
export interface TurnRecord extends AgentTurn {
  /** Where it begins there, in bytes; `null`: not all of it could be written. */
  readonly textOffset: number | null;
  readonly textBytes: number;
}

export interface TurnLogOptions {
  /** What is written last of a turn holds. May throw: then it is tried again. */
  readonly write: (turn: TurnRecord) => void;
  /** How many bytes of text have been written so far, of all turns. */
  readonly textEnd: () => number;
}

/** Those that could not be written, on a full disk, say, and are tried again. */
const maxUnwritten = 100;

export class TurnLog {
  readonly #options: TurnLogOptions;
  #turn: TurnRecord | undefined;
  /** What came after the end of the turn, from agents that answer before they have told all. */
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

  /** The message goes on; it was written to stdout already, as far as that went. */
  add(piece: string): void {
    const turn = this.#turn;
    if (!turn) return;
    const textBytes = turn.textBytes + Buffer.byteLength(piece);
    this.#turn = { ...turn, ...(turn.isTextCut ? {} : joined(turn.text, piece)), textBytes };
    this.#isGrown ||= turn.finishedAt !== null;
  }

  denied(): void {
    if (this.#turn?.finishedAt === null) this.#turn = { ...this.#turn, denied: this.#turn.denied + 1 };
  }

  end(stopReason: string, usage: TurnUsage | null): void {
    if (!this.#turn) return;
    this.#turn = { ...this.#turn, stopReason, usage, finishedAt: Date.now() / 1000 };
    this.#write(this.#turn);
  }

  /** Writes what is not written yet, as far as there is room. */
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
      // A full disk, say: with the next state of the agent there may be room.
    }
  }
}

/** As it is read from stdout, where half a character is none. */
function joined(text: string, piece: string): Pick<AgentTurn, 'text' | 'isTextCut'> {
  const more = Buffer.from(beginning(piece, maxTurnTextCharacters + 1)).toString();
  const start = beginning(text + more, maxTurnTextCharacters);
  return { text: start, isTextCut: start.length < text.length + piece.length };
}
