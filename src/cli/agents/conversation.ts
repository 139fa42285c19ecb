/**
 * Runs prompts for an agent: a single one, or as many as a person types.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { Emitter } from '../../base/emitter.ts';
import {
  type Job, type JobId, type Position, ProblemError, type Sidecar, isFinished, isJobId, positionOf,
} from '../../client/client.ts';
import { withJobHint } from '../follow/follow-job.ts';
import { CommandError, exitCodes, explain, withUnreachableHint } from '../failure.ts';
import {
  type FirstInterrupt, type InterruptHandler, readerGoneExitCode, withInterrupts,
} from '../follow/interrupts.ts';
import { type Paint, printJson, printMessage } from '../io/print.ts';
import { onReaderGone, writeStderr } from '../io/streams.ts';
import { agentExitCode, printAgentEnd } from './ending.ts';
import { followAgent } from './follow.ts';
import { readLine } from '../io/keyboard.ts';
import { AgentView } from './view.ts';

export interface ConversationOptions {
  readonly paint: Paint;
  readonly isQuiet: boolean;
  readonly isJson: boolean;
  /** A person sits at the terminal and can be asked. */
  readonly canAsk: boolean;
}

/** One turn of a running job, or the whole of a new job. */
export interface Turn {
  readonly id: JobId;
  /** Number of the turn. `undefined`: the job has no prompt, only a session. */
  readonly turn: number | undefined;
  /** The agent waits for another prompt after this turn. */
  readonly isKept: boolean;
  /** Set for a job that ran before: where to start following. */
  readonly from?: Position;
}

/** Submits a prompt, shows its turn, resolves with the exit code. @param begin Submits; its signal aborts to leave. */
export async function runTurn(
  sidecar: Sidecar,
  begin: (signal: AbortSignal) => Promise<Turn>,
  options: ConversationOptions & { readonly isOwn: boolean },
): Promise<number> {
  const { isOwn } = options;
  return withInterrupts((interrupts) => showWhole(sidecar, begin, { ...options, interrupts }), cancelTurn(isOwn), {
    isOwn,
  });
}

async function showWhole(
  sidecar: Sidecar,
  begin: (signal: AbortSignal) => Promise<Turn>,
  options: ConversationOptions & { readonly isOwn: boolean; readonly interrupts: InterruptHandler },
): Promise<number> {
  const { interrupts } = options;
  let isReaderGone = false;
  const stopWatching = onReaderGone(() => {
    if (!isReaderGone && options.isOwn) interrupts.cancel();
    isReaderGone = true;
  });
  try {
    const turn = await begin(interrupts.leaving);
    interrupts.setTarget(sidecar, turn.id);
    const job = await showTurn(sidecar, turn, options);
    if (isReaderGone) return readerGoneExitCode;
    return await finish(sidecar, job, { ...options, isInterrupted: interrupts.isInterrupted() });
  } finally {
    stopWatching();
  }
}

async function showTurn(
  sidecar: Sidecar,
  { id, turn, isKept, from }: Turn,
  options: ConversationOptions & { readonly interrupts: InterruptHandler },
): Promise<Job> {
  const { paint, interrupts, canAsk } = options;
  let stopReason: string | undefined;
  const job = await followOrExplain(id, followAgent({
    sidecar, id, paint, interrupts, canAsk, view: viewOf(options),
    ...(from && turn !== undefined ? { from, fromTurn: turn } : {}),
    onStop: (stop) => {
      if (stop.turn !== turn) return false;
      stopReason = stop.stopReason;
      return isKept;
    },
  }));
  // The server's view of a running job may lag behind the stop event.
  return job ?? { ...await sidecar.jobs.get(id), ...defined({ stopReason }) };
}

async function finish(
  sidecar: Sidecar,
  ended: Job,
  { isJson, isQuiet, isInterrupted }: ConversationOptions & { readonly isInterrupted: boolean },
): Promise<number> {
  const exitCode = agentExitCode(ended, { isInterrupted });
  const needsMore = isJson || (ended.acpError ?? null) !== null;
  const job = needsMore && isFinished(ended) ? await sidecar.jobs.get(ended.jobId) : ended;
  if (isJson) await withJobHint(job.jobId, () => printJson(job));
  printAgentEnd(job);
  if (!isQuiet && !isJson) printContinuation(job);
  return exitCode;
}

/** Says how to continue from here. */
function printContinuation(job: Job): void {
  const { jobId, acpSessionId, acpError } = job;
  if (acpError) return;
  if (!isFinished(job)) return printMessage(`job ${jobId} waits for another prompt: sidecar prompt --on ${jobId} …`);
  printMessage(`job ${jobId}${acpSessionId === null || acpSessionId === undefined ? '' : `, session ${acpSessionId}`}`);
}

/** Runs prompt after prompt, as the person types them, until Ctrl-D. */
export async function runConversation(
  sidecar: Sidecar, begin: (signal: AbortSignal) => Promise<Turn>, options: ConversationOptions,
): Promise<number> {
  let conversation: Conversation | undefined;
  return withInterrupts(async (interrupts) => {
    const first = await begin(interrupts.leaving);
    conversation = new Conversation(sidecar, first, { ...options, interrupts });
    interrupts.setTarget(sidecar, first.id);
    return conversation.run();
  }, cancelTurn(false, async () => conversation?.untilStarted()));
}

class Conversation {
  readonly #sidecar: Sidecar;
  readonly #first: Turn;
  readonly #options: ConversationOptions & { readonly interrupts: InterruptHandler };
  readonly #ended = new AbortController();
  readonly #turnChanged = new Emitter<void>();
  /** Numbers of the last turn that the server has accepted, that has begun and that has stopped. */
  #acceptedTurn: number;
  #startedTurn = 0;
  #stoppedTurn = 0;
  /** The request that submits the last prompt. Never rejects. */
  #pendingSubmit: Promise<unknown> = Promise.resolve();

  constructor(sidecar: Sidecar, first: Turn, options: ConversationOptions & { readonly interrupts: InterruptHandler }) {
    this.#sidecar = sidecar;
    this.#first = first;
    this.#options = options;
    this.#acceptedTurn = first.turn ?? 0;
  }

  /** Resolves once the turn of the last prompt has begun, or cannot begin any more. Never rejects. */
  async untilStarted(): Promise<void> {
    await this.#pendingSubmit;
    await this.#waitUntil(() => this.#startedTurn >= this.#acceptedTurn);
  }

  async run(): Promise<number> {
    const { id } = this.#first;
    printMessage(`job ${id}; Ctrl-C cancels a turn, Ctrl-D ends the agent`);
    const following = this.#follow().finally(() => this.#end());
    const typing = this.#readPrompts();
    // The end of the job ends the typing; a failure of either one is thrown here.
    const job = await Promise.race([following, typing.then((isLeaving) => (isLeaving ? undefined : following))]);
    if (job === undefined) {
      // The end is intended: how the following ends does not matter.
      following.catch(() => undefined);
      await this.#sidecar.jobs.cancel(id);
      return exitCodes.ok;
    }
    await typing;
    return finish(this.#sidecar, job, { ...this.#options, isInterrupted: this.#options.interrupts.isInterrupted() });
  }

  async #follow(): Promise<Job> {
    const { id } = this.#first;
    const { paint, interrupts, canAsk } = this.#options;
    const job = await followOrExplain(id, followAgent({
      sidecar: this.#sidecar, id, paint, interrupts, canAsk, view: viewOf(this.#options),
      onBegin: (turn) => {
        this.#startedTurn = turn;
        this.#turnChanged.emit();
      },
      onStop: ({ turn, stopReason }) => {
        this.#stoppedTurn = turn;
        if (stopReason !== 'end_turn') {
          printMessage(stopReason === 'cancelled' ? 'the turn was cancelled' : `the turn has stopped: ${stopReason}`);
        }
        this.#turnChanged.emit();
        return false;
      },
    }));
    if (job === undefined) throw new Error('the events ended without an end');
    return job;
  }

  /** Resolves with `true` when the person leaves, with `false` when the job has ended. */
  async #readPrompts(): Promise<boolean> {
    const signal = this.#ended.signal;
    const { interrupts } = this.#options;
    for (;;) {
      await this.#waitUntil(() => this.#stoppedTurn >= this.#acceptedTurn);
      if (signal.aborted) return false;
      interrupts.reset();
      const typed = await readLine('> ', { signal, isKept: true });
      if (typed.type === 'aborted') return false;
      if (typed.type !== 'line') writeStderr(typed.type === 'interrupt' ? '^C\n' : '\n');
      if (typed.type === 'end') return true;
      if (typed.type === 'line' && typed.text.trim() !== '') await this.#submit(typed.text);
    }
  }

  async #submit(text: string): Promise<void> {
    try {
      const sending = this.#sidecar.agents.prompt(this.#first.id, text)
        .then(({ turn }) => { this.#acceptedTurn = turn; });
      this.#pendingSubmit = sending.catch(() => undefined);
      await sending;
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      for (const line of explain(error).lines) printMessage(line);
    }
  }

  /** Resolves once `isMet()` holds or the job has ended. */
  async #waitUntil(isMet: () => boolean): Promise<void> {
    const { signal } = this.#ended;
    if (isMet() || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const stop = this.#turnChanged.listen(() => {
        if (!isMet() && !signal.aborted) return;
        stop();
        resolve();
      });
    });
  }

  #end(): void {
    this.#ended.abort();
    this.#turnChanged.emit();
  }
}

/**
 * Submits another turn to a job, or to the job that continues its session.
 *
 * @throws CommandError when the job takes no more prompts; ProblemError as `Agents.prompt`.
 */
export async function turnOn(
  sidecar: Sidecar, id: JobId, prompt: Parameters<Sidecar['agents']['prompt']>[1], signal: AbortSignal,
): Promise<Turn> {
  const job = await sidecar.jobs.get(id, { maxBytes: 0, signal });
  try {
    const { jobId, turn, continues, keepAlive } = await sidecar.agents.prompt(id, prompt, { signal });
    if (jobId === id) return { id, turn, isKept: true, from: positionOf(job) };
    if (continues !== undefined) printMessage(`the agent had ended: job ${jobId} continues its session`);
    if (!isJobId(jobId)) throw new CommandError(`Cannot follow job ${jobId}: this is no id`);
    return { id: jobId, turn, isKept: keepAlive !== 0, from: { stdout: 0, stderr: 0 } };
  } catch (error) {
    if (!(error instanceof ProblemError) || error.code !== 'job_not_running') throw error;
    const session = job.acpSessionId ?? undefined;
    const hint = session === undefined
      ? undefined
      : `A new job can continue its session: sidecar prompt --session ${session} …`;
    const why = 'it ends after this turn, as it was not told to --keep-alive, or has no session';
    throw new CommandError(`Cannot prompt the agent of job ${id}: ${why}`, { ...(hint ? { hint } : {}), cause: error });
  }
}

/**
 * The first interrupt: cancels the current turn. Without one it cancels the job, if the job is ours.
 *
 * @param untilStarted Waits until the turn of a typed prompt has begun: that turn is to be cancelled. Default: no wait.
 */
function cancelTurn(isOwn: boolean, untilStarted: () => Promise<unknown> = async () => undefined): FirstInterrupt {
  return async (sidecar, id, signal) => {
    printMessage('cancelling the turn; once more cancels the job');
    await untilStarted();
    const { cancelled } = await sidecar.agents.cancelTurn(id, { signal });
    if (cancelled) return;
    if (isOwn) await sidecar.jobs.cancel(id, {}, { signal });
    else printMessage('there is no turn');
  };
}

function viewOf({ paint, isQuiet, isJson }: ConversationOptions): AgentView {
  return new AgentView({ paint, isQuiet, isSilent: isJson });
}

/** @throws CommandError that says where the job is, when the server stays unreachable. */
function followOrExplain<T>(id: JobId, following: Promise<T>): Promise<T> {
  const hint = `Job ${id} may still run; once the server is back, "sidecar logs -f ${id}" shows its message`;
  return withUnreachableHint(hint, () => withJobHint(id, () => following));
}
