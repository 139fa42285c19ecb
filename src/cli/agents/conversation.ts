/**
 * Runs prompts for an agent: a single one, or as many as a person types.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { Emitter } from '../../base/emitter.ts';
import {
  type Job, type JobId, type Position, ProblemError, type Sidecar, isFinished, isJobId, positionOf,
} from '../../client/client.ts';
import { writingFor } from '../follow-job.ts';
import { CommandError, exitCodes, explain } from '../failure.ts';
import { type FirstInterrupt, type InterruptHandler, handleInterrupts, interruptedExitCode } from '../interrupts.ts';
import { type Paint, printJson, say } from '../print.ts';
import { onReaderGone, tell } from '../streams.ts';
import { agentExitCode, tellAgentEnd } from './ending.ts';
import { followAgent } from './follow.ts';
import { askLine } from '../keyboard.ts';
import { AgentView } from './view.ts';

export interface ConversationOptions {
  readonly paint: Paint;
  readonly isQuiet: boolean;
  readonly isJson: boolean;
  /** A person sits at the terminal and can be asked. */
  readonly isAsking: boolean;
}

/** The exit code that a shell reports for a command ended by SIGPIPE. */
const readerGoneExitCode = 141;

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
  const interrupts = handleInterrupts(cancelTurn(options.isOwn), { isOwn: options.isOwn });
  let isReaderGone = false;
  const stopWatching = onReaderGone(() => {
    if (!isReaderGone && options.isOwn) interrupts.cancel();
    isReaderGone = true;
  });
  try {
    const turn = await begin(interrupts.leaving);
    interrupts.aim(sidecar, turn.id);
    const job = await showTurn(sidecar, turn, { ...options, interrupts });
    if (isReaderGone) return readerGoneExitCode;
    return await finish(sidecar, job, { ...options, isInterrupted: interrupts.isInterrupted() });
  } catch (error) {
    if (interrupts.leaving.aborted) return interruptedExitCode;
    throw error;
  } finally {
    stopWatching();
    interrupts.close();
  }
}

async function showTurn(
  sidecar: Sidecar,
  { id, turn, isKept, from }: Turn,
  options: ConversationOptions & { readonly interrupts: InterruptHandler },
): Promise<Job> {
  const { paint, interrupts, isAsking } = options;
  let stopReason: string | undefined;
  const job = await stayingReachable(id, followAgent({
    sidecar, id, paint, interrupts, isAsking, view: viewOf(options),
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
  if (isJson) await writingFor(job.jobId, () => printJson(job));
  tellAgentEnd(job);
  if (!isQuiet && !isJson) tellWhere(job);
  return exitCode;
}

/** Says how to continue from here. */
function tellWhere(job: Job): void {
  const { jobId, acpSessionId, acpError } = job;
  if (acpError) return;
  if (!isFinished(job)) return say(`job ${jobId} waits for another prompt: sidecar prompt --on ${jobId} …`);
  say(`job ${jobId}${acpSessionId === null || acpSessionId === undefined ? '' : `, session ${acpSessionId}`}`);
}

/** Runs prompt after prompt, as the person types them, until Ctrl-D. */
export async function converse(
  sidecar: Sidecar, begin: (signal: AbortSignal) => Promise<Turn>, options: ConversationOptions,
): Promise<number> {
  let dialogue: Dialogue | undefined;
  const interrupts = handleInterrupts(cancelTurn(false, async () => dialogue?.untilBegun()));
  try {
    const first = await begin(interrupts.leaving);
    dialogue = new Dialogue(sidecar, first, { ...options, interrupts });
    interrupts.aim(sidecar, first.id);
    return await dialogue.run();
  } catch (error) {
    if (interrupts.leaving.aborted) return interruptedExitCode;
    throw error;
  } finally {
    interrupts.close();
  }
}

class Dialogue {
  readonly #sidecar: Sidecar;
  readonly #first: Turn;
  readonly #options: ConversationOptions & { readonly interrupts: InterruptHandler };
  readonly #ended = new AbortController();
  readonly #news = new Emitter<void>();
  /** Numbers of the last turn that the server has accepted, that has begun and that has stopped. */
  #taken: number;
  #begun = 0;
  #stopped = 0;
  /** The request that submits the last prompt. Never rejects. */
  #sending: Promise<unknown> = Promise.resolve();

  constructor(sidecar: Sidecar, first: Turn, options: ConversationOptions & { readonly interrupts: InterruptHandler }) {
    this.#sidecar = sidecar;
    this.#first = first;
    this.#options = options;
    this.#taken = first.turn ?? 0;
  }

  /** Resolves once the turn of the last prompt has begun, or cannot begin any more. Never rejects. */
  async untilBegun(): Promise<void> {
    await this.#sending;
    await this.#until(() => this.#begun >= this.#taken);
  }

  async run(): Promise<number> {
    const { id } = this.#first;
    say(`job ${id}; Ctrl-C cancels a turn, Ctrl-D ends the agent`);
    const following = this.#follow().finally(() => this.#end());
    const typing = this.#type();
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
    const { paint, interrupts, isAsking } = this.#options;
    const job = await stayingReachable(id, followAgent({
      sidecar: this.#sidecar, id, paint, interrupts, isAsking, view: viewOf(this.#options),
      onBegin: (turn) => {
        this.#begun = turn;
        this.#news.emit();
      },
      onStop: ({ turn, stopReason }) => {
        this.#stopped = turn;
        if (stopReason !== 'end_turn') say(
          stopReason === 'cancelled' ? 'the turn was cancelled' : `the turn has stopped: ${stopReason}`,
        );
        this.#news.emit();
        return false;
      },
    }));
    if (job === undefined) throw new Error('the events ended without an end');
    return job;
  }

  /** Resolves with `true` when the person leaves, with `false` when the job has ended. */
  async #type(): Promise<boolean> {
    const signal = this.#ended.signal;
    const { interrupts } = this.#options;
    for (;;) {
      await this.#until(() => this.#stopped >= this.#taken);
      if (signal.aborted) return false;
      interrupts.forget();
      const typed = await askLine('> ', { signal, isKept: true });
      if (typed.is === 'aborted') return false;
      if (typed.is !== 'line') tell(typed.is === 'interrupt' ? '^C\n' : '\n');
      if (typed.is === 'end') return true;
      if (typed.is === 'line' && typed.text.trim() !== '') await this.#send(typed.text);
    }
  }

  async #send(text: string): Promise<void> {
    try {
      const sending = this.#sidecar.agents.prompt(this.#first.id, text).then(({ turn }) => { this.#taken = turn; });
      this.#sending = sending.catch(() => undefined);
      await sending;
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      for (const line of explain(error).lines) say(line);
    }
  }

  /** Resolves once `isSo()` holds or the job has ended. */
  async #until(isSo: () => boolean): Promise<void> {
    const { signal } = this.#ended;
    if (isSo() || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const stop = this.#news.listen(() => {
        if (!isSo() && !signal.aborted) return;
        stop();
        resolve();
      });
    });
  }

  #end(): void {
    this.#ended.abort();
    this.#news.emit();
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
    if (continues !== undefined) say(`the agent had ended: job ${jobId} continues its session`);
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
 * @param untilBegun Waits until the turn of a typed prompt has begun, as that is the turn to cancel. Default: no wait.
 */
function cancelTurn(isOwn: boolean, untilBegun: () => Promise<unknown> = async () => undefined): FirstInterrupt {
  return async (sidecar, id, signal) => {
    say('cancelling the turn; once more cancels the job');
    await untilBegun();
    const { cancelled } = await sidecar.agents.cancelTurn(id, { signal });
    if (cancelled) return;
    if (isOwn) await sidecar.jobs.cancel(id, {}, { signal });
    else say('there is no turn');
  };
}

function viewOf({ paint, isQuiet, isJson }: ConversationOptions): AgentView {
  return new AgentView({ paint, isQuiet, isSilent: isJson });
}

/** @throws CommandError that says where the job is, when the server stays unreachable. */
async function stayingReachable<T>(id: JobId, following: Promise<T>): Promise<T> {
  try {
    return await writingFor(id, () => following);
  } catch (error) {
    if (!(error instanceof ProblemError) || error.code !== 'unreachable') throw error;
    throw new CommandError(error.message, {
      hint: `Job ${id} may still run; once the server is back, "sidecar logs -f ${id}" shows its message`,
      exitCode: exitCodes.unreachable,
      cause: error,
    });
  }
}
