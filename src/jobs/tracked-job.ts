/**
 * A job in the server's memory: small enough that ten thousand do not matter. The rest is read from disk when needed.
 * @module
 */
import { Emitter } from '../base/emitter.ts';
import type { JobId } from '../protocol/ids.ts';
import { fieldsInMemory } from '../protocol/jobs/fields.ts';
import type { StreamName } from '../protocol/jobs/job.ts';
import type { ShellEnded, ShellStarted } from '../protocol/shells.ts';
import type { Family } from '../process/descendants.ts';
import type { Idempotency } from '../process/state/idempotency.ts';
import type { Identity } from '../process/identity.ts';
import { type JobRecord, type JobState, statusOf } from './job.ts';
import type { JobKind, KindJob, RequestSummary } from './kind.ts';

/** Length in characters; a longer command is read from disk when it is shown. */
const maxCommandLength = 2048;
/** Bytes that a job's directory takes, about two blocks, beyond what the job writes. */
const directoryBytes = 8192;

export class TrackedJob implements KindJob {
  readonly id: JobId;
  readonly submittedAt: number;
  readonly rerunOf: JobId | undefined;
  readonly continues: JobId | undefined;
  /** The last job that continues this one. */
  continuedBy: JobId | undefined;
  readonly idempotency: Idempotency | undefined;
  readonly kind: JobKind;
  readonly request: RequestSummary;
  /** The first process of the job; known once it was needed. */
  leader: Identity | undefined;
  /** The job's first process, as its launcher named it. */
  pid: number | null = null;
  /** Processes that outlived the job. */
  lingering: readonly Identity[] = [];
  /** The job has ended and left processes, which are being looked for. */
  isSearching = false;
  /** The lease that keeps its stdin open, see `StdinHolder`; `undefined`: nothing does, or the starter itself does. */
  stdinLease: string | undefined;
  /** An earlier server was about to start it: a launcher of that server may have it. */
  mayBeClaimed = false;
  /** Its stdin has been closed: the job reads the end of its input. */
  isStdinClosed = false;
  /** A call has written to its stdin. */
  hasInput = false;
  /** Bytes written to its stdin by calls that the job had not read when it ended. */
  stdinUnreadBytes = 0;
  /** The search for processes that left the group is done: none will appear any more. */
  isSettled = false;
  /** The outcome is not on disk yet, as writing it failed. */
  isUnsaved = false;
  /** Bytes of each stream when it was last measured. */
  stdoutBytes = 0;
  stderrBytes = 0;
  /** Bytes of the events of an interactive job. */
  eventsBytes = 0;
  /** Files that something else had replaced when the job was last measured. */
  replacedFiles: readonly string[] = [];
  /** Bytes that its output and events take on disk. */
  storedBytes = 0;
  /** When an interactive job last wrote its state, in milliseconds; 0 before that, and for other jobs. */
  stateWrittenAt = 0;
  /** Unix seconds; `null` without output. */
  lastOutputAt: number | null = null;
  /** What the caller should know, in words. */
  warnings: readonly string[] = [];
  /** Streams whose earlier output the job itself truncated. */
  cut: ReadonlySet<StreamName> = new Set();
  /** Set if the job is the first one of a persistent shell. */
  shellStarted: ShellStarted | undefined;
  /** Set if its persistent shell ended with the job. */
  shellEnded: ShellEnded | undefined;
  /** Incremented at each change. */
  version = 0;
  /** The number of its last change in the `JobFeed`. */
  lastChange = 0;
  readonly #onStateChange: ((job: TrackedJob, before: JobState) => void) | undefined;
  #state: JobState;
  #changes: Emitter<void> | undefined;

  /** @param onStateChange Called after each change of the state, before the listeners of `onChange`. */
  constructor(record: JobRecord, kind: JobKind, onStateChange?: (job: TrackedJob, before: JobState) => void) {
    this.#onStateChange = onStateChange;
    this.id = record.jobId;
    this.submittedAt = record.submittedAt;
    this.rerunOf = record.rerunOf;
    this.continues = record.continues;
    this.idempotency = record.idempotency;
    this.stdinLease = record.hold;
    this.warnings = record.warnings ?? [];
    this.cut = new Set(record.cut);
    this.shellStarted = record.shellStarted;
    this.shellEnded = record.shellEnded;
    this.kind = kind;
    this.request = toRequestSummary(kind, record.request);
    this.#state = record.state;
  }

  get state(): JobState {
    return this.#state;
  }

  set state(state: JobState) {
    const before = this.#state;
    this.#state = state;
    this.#onStateChange?.(this, before);
    this.changed();
  }

  get isFinished(): boolean {
    return this.#state.is === 'finished';
  }

  /** Unix seconds; 0 until it has finished. */
  get finishedAt(): number {
    return this.#state.is === 'finished' ? this.#state.outcome.finishedAt : 0;
  }

  /** Bytes that the job takes on disk. */
  get sizeBytes(): number {
    return this.storedBytes + directoryBytes;
  }

  /** Bytes of all that the job writes. */
  get outputBytes(): number {
    return this.stdoutBytes + this.stderrBytes + this.eventsBytes;
  }

  get family(): Family {
    return { id: this.id, leader: this.leader };
  }

  /** Adds a warning, once. It is written to disk with the next state of the job. */
  warn(warning: string): void {
    if (this.warnings.includes(warning)) return;
    this.warnings = [...this.warnings, warning];
    this.changed();
  }

  /** Records that the job itself truncated what it had written to the stream. */
  markCut(stream: StreamName): void {
    if (this.cut.has(stream)) return;
    this.cut = new Set([...this.cut, stream]);
    const remedy = this.request.output === 'pipe' ? '' : '; "output": "pipe" keeps such output';
    const when = `seen at ${new Date().toISOString()}`;
    this.warn(`${stream} was truncated by the job itself (${when}): what it had written before is lost${remedy}`);
  }

  /** Tells the listeners that something about the job has changed: state, output, processes. */
  changed(): void {
    this.version += 1;
    this.#changes?.emit();
  }

  /** Calls `listener` on every change until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#changes ??= new Emitter();
    const stop = this.#changes.listen(listener);
    return () => {
      stop();
      if (this.#changes?.size === 0) this.#changes = undefined;
    };
  }

  toString(): string {
    return `${this.id} (${statusOf(this.#state)})`;
  }
}

/**
 * Resolves with `true` once `isReached`, or `false` after `limitMs` or when `signal` aborts; never rejects.
 *
 * @param options.limitMs Default: no limit.
 */
export function until(
  job: TrackedJob,
  isReached: () => boolean,
  options: { readonly limitMs?: number; readonly signal?: AbortSignal | undefined },
): Promise<boolean> {
  const { limitMs, signal } = options;
  if (isReached()) return Promise.resolve(true);
  if (signal?.aborted === true || limitMs === 0) return Promise.resolve(false);
  return new Promise((resolve) => {
    const end = (reached: boolean): void => {
      stop();
      clearTimeout(timer);
      signal?.removeEventListener('abort', leave);
      resolve(reached);
    };
    const leave = (): void => end(false);
    const stop = job.onChange(() => { if (isReached()) end(true); });
    const timer = limitMs === undefined ? undefined : setTimeout(leave, limitMs);
    signal?.addEventListener('abort', leave, { once: true });
  });
}

/** Whether the job runs, and keeps a state that people may have to act on. */
export function isInteractive({ kind, state }: TrackedJob): boolean {
  return kind.interaction !== undefined && state.is === 'running';
}

function toRequestSummary(kind: JobKind, request: JobRecord['request']): RequestSummary {
  const { program, length, limitSeconds } = kind.describe(request);
  return {
    ...fieldsInMemory(request),
    workdir: request.workdir,
    limitSeconds,
    sessionKey: kind.sessionKeyOf?.(request),
    mode: request.program.mode,
    program: length <= maxCommandLength ? program : undefined,
    stdin: stdinOf(request.stdin),
  };
}

function stdinOf(stdin: string | null | undefined): RequestSummary['stdin'] {
  if (stdin === undefined) return 'fifo';
  return stdin === null ? 'null' : 'file';
}
