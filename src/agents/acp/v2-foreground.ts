/**
 * Tracks the work of an agent of version 2 of the protocol: it answers a prompt as soon as it has taken it, and reports
 * the end of its work by `state_update`.
 * @module
 */
import { Emitter } from '../../base/emitter.ts';
import { type Fields, fieldsOf, textOf } from '../../base/loose.ts';

/** How work ended. */
export interface WorkEnd {
  /** `undefined` if the agent gives none. */
  readonly stopReason: string | undefined;
  /** The error, with the stop reason `error`. */
  readonly error: unknown;
}

/** Echoed prompts that are remembered: more are never sent at a time. */
const maxEchoes = 100;

export class Foreground {
  #isBusy = false;
  /** Whether the agent has sent a message since it was last idle. */
  #hasSentMessage = false;
  /** Number of times that work has ended. */
  #ends = 0;
  #last: WorkEnd = { stopReason: undefined, error: undefined };
  /** Ids of prompts that the agent has echoed, with the number of ends at that time. */
  readonly #echoes = new Map<string, number>();
  readonly #workEnds = new Emitter<void>();

  /** @param update An update of the session, as received. */
  apply(update: unknown): void {
    const fields = fieldsOf(update);
    switch (fields['sessionUpdate']) {
      case 'state_update': return this.#handleState(fields);
      case 'user_message':
      case 'user_message_chunk': return this.#addEcho(textOf(fields['messageId']));
      case 'agent_message':
      case 'agent_message_chunk': return void (this.#hasSentMessage = true);
    }
  }

  /**
   * Resolves with how the work on a prompt ended.
   *
   * @param inserted The id of the prompt's message, once the agent has it. @throws what `inserted` throws.
   */
  async endOf(inserted: Promise<string | undefined>): Promise<WorkEnd> {
    const [wasBusy, endsBefore] = [this.#isBusy, this.#ends];
    const messageId = await inserted;
    const echoedAt = messageId === undefined ? undefined : this.#echoes.get(messageId);
    this.#echoes.clear();
    // The end of earlier work does not count, unless the prompt has become a part of that work.
    const from = echoedAt ?? (wasBusy ? this.#ends : endsBefore);
    if (this.#ends > from) return this.#last;
    return await new Promise((resolve) => {
      const stop = this.#workEnds.listen(() => {
        stop();
        resolve(this.#last);
      });
    });
  }

  /** A repeated idle state is not another end; an unknown state does not count as idle. */
  #handleState({ state, stopReason, error }: Fields): void {
    if (state !== 'idle') {
      this.#isBusy = true;
      return;
    }
    const isEnd = this.#isBusy || (this.#hasSentMessage && typeof stopReason === 'string');
    this.#isBusy = false;
    this.#hasSentMessage = false;
    if (!isEnd) return;
    this.#ends += 1;
    this.#last = { stopReason: textOf(stopReason), error };
    this.#workEnds.emit();
  }

  #addEcho(messageId: string | undefined): void {
    if (messageId === undefined || this.#echoes.has(messageId)) return;
    this.#echoes.set(messageId, this.#ends);
    const [oldest] = this.#echoes.keys();
    if (this.#echoes.size > maxEchoes && oldest !== undefined) this.#echoes.delete(oldest);
  }
}
