/**
 * The updates of a session: which are passed on, and which belong to an earlier conversation that is replayed.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fieldsOf, isFields } from '../../base/loose.ts';
import { displayText } from '../../base/text/truncate.ts';
import type { ConfigChoices } from './config-choices.ts';
import { Foreground } from './v2-foreground.ts';
import { UpdatesV2 } from './v2.ts';

export interface SessionUpdatesOptions {
  /** The settings of the session, which updates change. */
  readonly choices: ConfigChoices;
  /** @param isReplay Whether the update is of an earlier conversation that is being loaded. */
  readonly onUpdate: (update: unknown, isReplay: boolean) => void;
  readonly onFault: (what: string) => void;
}

/** A replay ends when no update came for `quietMs`, and at the latest `replayMs` after its answer. */
const quietMs = 200;
const replayMs = 3000;
/** Updates that are kept until the id of the session is known. */
const maxEarlyUpdates = 1000;

export class SessionUpdates {
  readonly #options: SessionUpdatesOptions;
  #sessionId: string | undefined;
  /** Set if version 2 of the protocol was agreed on. */
  #v2: { readonly updates: UpdatesV2; readonly foreground: Foreground } | undefined;
  #isReplay = false;
  /** Number of updates received. */
  #count = 0;
  #earlyUpdates: unknown[] = [];
  #hasLostEarlyUpdates = false;

  constructor(options: SessionUpdatesOptions) {
    this.#options = options;
  }

  get sessionId(): string | undefined {
    return this.#sessionId;
  }

  /** The work of an agent of version 2; `undefined`: version 1 was agreed on. */
  get foreground(): Foreground | undefined {
    return this.#v2?.foreground;
  }

  /** Reads updates as those of version 2 from here on. */
  useV2(): void {
    this.#v2 = { updates: new UpdatesV2(), foreground: new Foreground() };
  }

  /** Until {@link endReplay}, updates replay an earlier conversation of this session. */
  beginReplay(sessionId: string): void {
    this.#sessionId = sessionId;
    this.#isReplay = true;
  }

  endReplay(): void {
    this.#isReplay = false;
  }

  /** The session is open: passes on the updates that came before its id was known. */
  begin(sessionId: string): void {
    this.#sessionId = sessionId;
    for (const params of this.#earlyUpdates.splice(0)) this.take(params);
  }

  /** Resolves once no update has come for {@link quietMs}, after {@link replayMs}, or once the agent has ended. */
  async waitUntilQuiet(isEnded: () => boolean): Promise<void> {
    const deadline = performance.now() + replayMs;
    let seen = -1;
    while (seen !== this.#count && performance.now() < deadline && !isEnded()) {
      seen = this.#count;
      await sleep(quietMs);
    }
  }

  /** Takes the notification `session/update`. */
  take(params: unknown): void {
    this.#count += 1;
    const { choices, onUpdate, onFault } = this.#options;
    const { sessionId, update } = fieldsOf(params);
    if (this.#sessionId === undefined) {
      if (this.#earlyUpdates.length < maxEarlyUpdates) return void this.#earlyUpdates.push(params);
      if (!this.#hasLostEarlyUpdates) {
        const what = `more than ${maxEarlyUpdates} updates came before the session was begun: the others are lost`;
        onFault(what);
      }
      this.#hasLostEarlyUpdates = true;
      return;
    }
    if (!this.isOurs(sessionId)) {
      return onFault(`an update of another session: ${displayText(sessionId)}`);
    }
    if (sessionId !== this.#sessionId && !isFields(update)) {
      return onFault('an update that has neither a session nor content');
    }
    const { sessionUpdate, configOptions, currentModeId } = fieldsOf(update);
    if (sessionUpdate === 'config_option_update') choices.replaceOptions(configOptions);
    if (sessionUpdate === 'current_mode_update' && typeof currentModeId === 'string') {
      choices.setMode(currentModeId);
    }
    this.#v2?.foreground.apply(update);
    for (const one of this.#v2?.updates.read(update) ?? [update]) onUpdate(one, this.#isReplay);
  }

  /** Whether a message is about the session: a conversation has only one, so a message without an id belongs to it. */
  isOurs(sessionId: unknown): boolean {
    return sessionId === undefined || sessionId === null || sessionId === this.#sessionId;
  }
}
