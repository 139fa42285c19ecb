/**
 * Carries out updates: finds a release, verifies it, installs it beside the running version, and asks the wrapper to
 * switch to it. Until the wrapper switches, the running server is not touched.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Idempotency } from '../process/state/idempotency.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { UpdateAnswer, UpdateProgress, UpdateRequest, UpdateState, UpdateStep } from '../protocol/updates.ts';
import { AutomaticChecks } from './automatic.ts';
import { assertTrusted, assertCompatible } from './candidate.ts';
import { classifyFailure } from './classify-failure.ts';
import { ReleaseChecker } from './release-checker.ts';
import { SourceError } from './errors.ts';
import { redactUrl } from './redact-url.ts';
import type { Release, Source } from './sources/source.ts';
import { unlessAborted } from '../base/abort.ts';
import { type UpdateTimings, type UpdaterOptions, defaultLimits, defaultTimings } from './updater-options.ts';
import type { UpdateExecutor, UpdateService } from './update-service.ts';
import { compareVersions } from './versions/semver.ts';
import { type Probation, type UpdateOutcome, isBad } from './versions/version-state.ts';

interface Attempt {
  readonly startedAt: number;
  readonly executor: UpdateExecutor;
  readonly controller: AbortController;
  version: string | null;
  step: UpdateStep;
  /** Settles when the part behind the answer has ended. Never rejects. */
  done: Promise<void>;
}

/** Carries out one update at a time. */
export class Updater implements UpdateService {
  readonly #options: UpdaterOptions;
  readonly #timings: UpdateTimings;
  readonly #checker: ReleaseChecker;
  readonly #automatic: AutomaticChecks | undefined;
  readonly #now: () => number;
  readonly #closing = new AbortController();
  #attempt: Attempt | undefined;

  constructor(options: UpdaterOptions) {
    const { registry, automatic, current, now = unixSeconds, random = Math.random } = options;
    this.#options = options;
    this.#timings = { ...defaultTimings, ...options.timings };
    this.#now = now;
    const { findMs, stalledMs, backoffMs, lookMs } = this.#timings;
    const source: Source = {
      find: async (wanted, asked) => {
        const { openSource } = await loadEngine();
        const way = { withinMs: findMs, stalledMs, backoffMs, fetch: options.fetch?.() };
        return await openSource(options.source, { ...registry(), ...way }).find(wanted, asked);
      },
    };
    // A failure is reported to the caller that needs the engine.
    setTimeout(() => loadEngine().catch(() => undefined), engineAfterMs).unref();
    this.#checker = new ReleaseChecker({ source, current, now, signal: this.#closing.signal });
    if (automatic) {
      this.#automatic = new AutomaticChecks({ ...automatic, now, random, lookMs, check: () => this.#updateByItself() });
    }
  }

  state(): UpdateState {
    const { versions, current, source, sourceText, executor } = this.#options;
    const {
      previous, probation, bad, lastOutcome, own = this.#options.release === null ? current : null,
    } = versions.read();
    return {
      current,
      previous: previous ?? (this.#options.release === null ? null : own),
      wrapper: executor?.isConnected === true,
      // A URL may hold a password.
      source: source.type === 'manifest' ? redactUrl(source.url) : sourceText,
      available: this.#checker.available,
      checkError: this.#checker.checkError,
      progress: this.#progress(),
      probation: this.#ownProbation(probation),
      lastOutcome: outcomeOf(lastOutcome, own),
      bad,
      automatic: this.#automaticState(),
    };
  }

  async check(signal?: AbortSignal): Promise<void> {
    await unlessAborted(this.#checker.ask(), signal);
  }

  async begin(request: UpdateRequest, idempotency?: Idempotency): Promise<UpdateAnswer> {
    const begin = (): Promise<UpdateAnswer> =>
      this.#try(request, (signal) => this.#checker.find(request.version, signal));
    const { answers } = this.#options;
    return idempotency === undefined || answers === undefined ? await begin() : await answers.once(idempotency, begin);
  }

  /** Aborts the update in progress, which leaves no files behind; resolves after `closeMs` at the latest. */
  async close(): Promise<void> {
    this.#automatic?.close();
    const reason = new ProblemError('shutting_down', 'Cannot update: the server is shutting down');
    this.#closing.abort(reason);
    this.#attempt?.controller.abort(reason);
    await Promise.race([this.#attempt?.done, sleep(this.#timings.closeMs, undefined, { ref: false })]);
  }

  #progress(): UpdateProgress | null {
    if (this.#attempt === undefined) return null;
    const { version, step, startedAt } = this.#attempt;
    return { version, step, startedAt };
  }

  #ownProbation(probation: Probation | null): UpdateState['probation'] {
    const { release, probationSeconds } = this.#options;
    if (probation === null || probation.version !== release) return null;
    return { ...probation, endsAt: probation.startedAt + probationSeconds };
  }

  #automaticState(): UpdateState['automatic'] {
    const { automatic } = this.#options;
    if (!automatic || !this.#automatic) return null;
    return {
      intervalSeconds: automatic.intervalSeconds,
      window: automatic.window?.text ?? null,
      nextCheckAt: this.#automatic.nextCheckAt,
    };
  }

  /** Never rejects. The next check tries again. */
  async #updateByItself(): Promise<void> {
    const { log, versions, current } = this.#options;
    if (this.#attempt !== undefined) return;
    try {
      const release = await this.#checker.ask();
      if (this.#closing.signal.aborted) return;
      if (release === undefined) return log.warn('cannot look for an update', { reason: this.#checker.checkError });
      if (compareVersions(release.version, current) <= 0) return;
      const isWanted = !isBad(versions.read(), release.version);
      if (!isWanted) {
        log.info(
          'skipping the update: the version that is available failed before',
          { version: release.version },
        );
      }
      if (isWanted) await this.#try(emptyRequest, () => Promise.resolve(release));
    } catch (error) {
      // The failure of an attempt was logged there.
      log.debug('no update by itself', { reason: classifyFailure(error).reason });
    }
  }

  async #try(request: UpdateRequest, find: (signal: AbortSignal) => Promise<Release>): Promise<UpdateAnswer> {
    const attempt = this.#start(request);
    try {
      const release = await find(attempt.controller.signal);
      attempt.version = release.version;
      return this.#decide(attempt, release, request);
    } catch (error) {
      this.#attempt = undefined;
      throw this.#refused(attempt, error, request);
    }
  }

  #start({ ifIdle }: UpdateRequest): Attempt {
    const { executor, running } = this.#options;
    this.#closing.signal.throwIfAborted();
    if (executor?.isConnected !== true) {
      throw new ProblemError(
        'no_wrapper',
        'Cannot update: there is no wrapper to carry it out; start the server with `sidecar serve --wrapper`',
      );
    }
    if (this.#attempt) throw updateInProgress(this.#attempt);
    const jobs = running();
    if (ifIdle === true && jobs > 0) {
      throw new ProblemError(
        'busy',
        `Cannot update: jobs are running or waiting (${jobs})`,
        { extensions: { running_jobs: jobs } },
      );
    }
    this.#attempt = {
      startedAt: this.#now(), executor, controller: new AbortController(),
      version: null, step: 'finding', done: Promise.resolve(),
    };
    return this.#attempt;
  }

  #decide(attempt: Attempt, release: Release, request: UpdateRequest): UpdateAnswer {
    const { current, versions, trusted, log, node = process.versions.node } = this.#options;
    const { version } = release;
    attempt.controller.signal.throwIfAborted();
    if (version === current) {
      this.#attempt = undefined;
      return { status: 'current', version, message: `${version} runs already` };
    }
    assertCompatible(release, { request, current, state: versions.read(), node });
    assertTrusted(release, trusted);
    log.info('update begun', { from: current, to: version });
    attempt.done = this.#carryOut(attempt, release);
    return { status: 'updating', version, message: `Updating from ${current} to ${version}; what runs continues` };
  }

  /**
   * The error to answer with. A failed attempt is also recorded; a request that is refused as it is (ProblemError,
   * version_not_found) is not.
   */
  #refused(attempt: Attempt, error: unknown, request: UpdateRequest): unknown {
    const { code, reason, isUnexpected } = classifyFailure(error);
    if (!(error instanceof ProblemError) && code !== 'version_not_found') {
      attempt.version ??= request.version ?? null;
      this.#failed(attempt, error);
    }
    return error instanceof ProblemError || isUnexpected ? error : new ProblemError(code, reason, { cause: error });
  }

  async #carryOut(attempt: Attempt, release: Release): Promise<void> {
    const { signal } = attempt.controller;
    try {
      await this.#install(attempt, release);
    } catch (error) {
      this.#attempt = undefined;
      return this.#failed(attempt, signal.aborted ? signal.reason : error);
    }
    await this.#switch(attempt, release.version);
    // While the server shuts down, the attempt stays in progress.
    if (!signal.aborted) this.#attempt = undefined;
  }

  async #install(attempt: Attempt, release: Release): Promise<void> {
    const { versions, registry, limits, log, fetch } = this.#options;
    const { stalledMs, backoffMs, prepareMs } = this.#timings;
    const { controller } = attempt;
    const onStep = (step: UpdateStep): void => { attempt.step = step; };
    const late = (): void => controller.abort(
      new SourceError(
        'stalled',
        `Cannot install ${release.version}: it was not there within ${prepareMs / 1000} s; try again later`,
      ));
    const overdue = setTimeout(late, prepareMs).unref();
    try {
      const { install } = await loadEngine();
      await install(release, {
        versions, registry: registry(), log, onStep, signal: controller.signal,
        limits: { ...defaultLimits, ...limits }, patience: { stalledMs, backoffMs, fetch: fetch?.() },
      });
    } finally {
      clearTimeout(overdue);
    }
  }

  /** Asks the wrapper to switch. The wrapper records the outcome. */
  async #switch(attempt: Attempt, version: string): Promise<void> {
    const { log } = this.#options;
    const { signal } = attempt.controller;
    attempt.step = 'starting';
    log.info('update installed', { version });
    try {
      signal.throwIfAborted();
      await unlessAborted(attempt.executor.switchTo(version), signal);
      attempt.step = 'switching';
      await sleep(this.#timings.switchMs, undefined, { signal, ref: false });
      log.warn('the new version was ready and has not taken over', { version });
    } catch (error) {
      // If aborted, this server shuts down, as intended.
      if (!signal.aborted) {
        log.warn('the new version does not take over', { version, reason: (error as Error).message });
      }
    }
  }

  #failed({ version, executor }: Attempt, error: unknown): void {
    const { log } = this.#options;
    const { reason, isToBlame, isUnexpected } = classifyFailure(error);
    if (isUnexpected) log.error('update failed', { version, error });
    else log.warn('update failed', { version, reason });
    try {
      executor.note({ version, reason, isToBlame });
    } catch (failure) {
      log.warn('cannot tell the wrapper of it', { version, error: failure });
    }
  }
}

/** Late enough not to delay the start, early enough that the files of this version are not replaced yet. */
const engineAfterMs = 500;

function loadEngine(): Promise<typeof import('./engine.ts')> {
  return import('./engine.ts');
}

const emptyRequest: UpdateRequest = { version: undefined, ifIdle: undefined, allowDowngrade: undefined };

/** The outcome as clients get it. */
function outcomeOf(outcome: UpdateOutcome | null, own: string | null): UpdateState['lastOutcome'] {
  if (outcome === null) return null;
  const { kind: status, from, to, ...rest } = outcome;
  // The target of a failed update may be unknown.
  return { status, from: from ?? own, to: status === 'failed' ? to : to ?? own, ...rest };
}

function updateInProgress({ version, step }: Attempt): ProblemError {
  const which = version === null ? 'one' : `the update to ${version}`;
  return new ProblemError('update_in_progress', `Cannot update: ${which} is under way already (${step})`);
}

function unixSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
