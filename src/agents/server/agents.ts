/**
 * Agents as jobs: starts their runners, shows the fields of their jobs, and sends commands to them.
 * @module
 */
import { defined } from '../../base/defined.ts';
import type { Log } from '../../base/log.ts';
import type { Fields } from '../../base/loose.ts';
import { waitedForLabel } from '../../jobs/kind.ts';
import type { AgentChange, PermissionRequest, TurnsQuery } from '../../protocol/agents/calls.ts';
import type { AgentJobDetails, AgentJobSummary, AgentTurn } from '../../protocol/agents/job-details.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Repeatable } from '../../protocol/repeatable.ts';
import type { ElicitationAnswer } from '../acp/agent-requests.ts';
import { StateCache } from '../state-file.ts';
import { AgentCatalog, type AgentCatalogOptions } from './agent-catalog.ts';
import type { AgentJobs } from './agent-jobs.ts';
import { shellKeyOf } from './agent-program.ts';
import { detailsOf, optionIdFor, summaryOf } from './job-view.ts';
import { Prompts } from './prompts.ts';
import { RunnerCommands, agentJob, isFinishedJob } from './runner-commands.ts';
import { type AgentLaunch, RunnerSetup, type RunnerSetupOptions } from './runner-setup.ts';
import { ShellCommandBroker } from './shell-command-broker.ts';
import { type TurnEnd, type WholeTurn, shownTurns, wholeTurn } from './turns.ts';

export interface AgentsOptions extends AgentCatalogOptions, RunnerSetupOptions {
  readonly log: Log;
}

/** Milliseconds of one wait for changes of an agent's job. */
const watchMs = 60_000;

export class Agents {
  readonly #options: AgentsOptions;
  readonly #states = new StateCache();
  #jobs: AgentJobs | undefined;
  #isClosed = false;
  /** Agents that were to be watched before {@link connect}. */
  readonly #earlyLaunches: AgentLaunch[] = [];
  readonly #watched = new Set<string>();
  readonly catalog: AgentCatalog;
  readonly setup: RunnerSetup;
  readonly prompts: Prompts;
  readonly #commands: RunnerCommands;

  constructor(options: AgentsOptions) {
    this.#options = options;
    this.setup = new RunnerSetup(options);
    const jobs = (): AgentJobs => this.#connected;
    const readState = (directory: string): Fields => this.#readState(directory);
    this.catalog = new AgentCatalog(options, jobs);
    this.#commands = new RunnerCommands(jobs, readState);
    this.prompts = new Prompts({ jobs, readState, commands: this.#commands });
  }

  /** Sets the jobs that the agents run as. */
  connect(jobs: AgentJobs): void {
    this.#jobs = jobs;
    for (const launch of this.#earlyLaunches.splice(0)) this.watch(launch);
    // Agents may have ended while no server was running.
    jobs.endLabelled(waitedForLabel, (id) => isFinishedJob(jobs, id))
      .catch((error: unknown) => this.#options.log.warn('cannot end what agents have left', { error }));
  }

  get isSupported(): boolean {
    return this.#options.isSupported;
  }

  /** Same as `once` of the jobs. */
  once<T>(id: string, request: Repeatable, call: string, act: (sameId: string | undefined) => Promise<T>): Promise<T> {
    return this.#connected.once(id, request, call, act);
  }

  /** The job runs, started now or by an earlier server: answers its requests to this server. */
  watch(launch: AgentLaunch): void {
    if (!this.#jobs) return void this.#earlyLaunches.push(launch);
    const { id, directory, workdir, env, program: asked } = launch;
    const sessionKey = shellKeyOf(id, asked);
    if (sessionKey === undefined || this.#watched.has(id)) return;
    this.#watched.add(id);
    const broker = new ShellCommandBroker({
      state: () => this.#readState(directory),
      isClosed: () => this.#isClosed,
      isFinished: () => isFinishedJob(this.#connected, id),
      log: this.#options.log,
      changed: (isSame) => this.#connected.until(id, () => !isSame(), watchMs),
      start: (commandId, command) => this.#connected.startInShell(
        { sessionKey, shell: asked.shell, command, workdir, env, labels: { [waitedForLabel]: id } },
        `${id}/${commandId}`,
      ),
      send: (update) => this.#commands.send(id, update),
    });
    broker.serve()
      .catch((error: unknown) => this.#options.log.error(
        'the commands of an agent are not served any more',
        { jobId: id, error },
      ))
      .finally(() => this.#watched.delete(id));
  }

  /** Stops serving the agents; they keep running. */
  close(): void {
    this.#isClosed = true;
  }

  summary(directory: string): AgentJobSummary {
    return summaryOf(this.#readState(directory));
  }

  /** Why the agent's data in the answer is incomplete, in words; stable. */
  warnings(directory: string): readonly string[] {
    return this.#states.read(directory).warnings;
  }

  /** @param options As of {@link detailsOf}. */
  async details(
    directory: string, options: { readonly maxBytes: number; readonly end: TurnEnd | null },
  ): Promise<AgentJobDetails> {
    return await detailsOf(this.#readState(directory), directory, options);
  }

  /** The turns of a job, in their order. @throws ProblemError job_not_found, not_an_agent. */
  async turns(id: string, query: TurnsQuery): Promise<readonly AgentTurn[]> {
    const { directory, end } = agentJob(this.#connected, id);
    return await shownTurns(directory, end, query);
  }

  /** @throws ProblemError as {@link turns}; turn_not_found. */
  async turn(id: string, number: string): Promise<WholeTurn> {
    const { directory, end } = agentJob(this.#connected, id);
    const turn = /^[1-9]\d{0,8}$/.test(number) ? await wholeTurn(directory, Number(number), end) : undefined;
    if (turn) return turn;
    const { turnCount } = this.summary(directory);
    const asked = JSON.stringify(number.slice(0, 64));
    throw new ProblemError('turn_not_found', `Cannot find turn ${asked} of job ${id}: it has ${turnCount}, from 1`);
  }

  /**
   * Changes the agent's settings, also in the middle of a turn. @returns the settings that apply now.
   *
   * @throws ProblemError as {@link Prompts.give}; config_not_supported, agent_error; not_supported if the runner was
   * started by a version that cannot do it.
   */
  async change(id: string, change: AgentChange, sameId?: string): Promise<AgentChange> {
    const { changed } = await this.#commands.run(id, { is: 'change', change }, sameId);
    if (changed) return changed;
    const why = 'an earlier version of the server has started it';
    throw new ProblemError('not_supported', `Cannot change the agent of job ${id}: ${why}`);
  }

  /** Cancels the current turn. @returns whether there was one. @throws ProblemError as {@link Prompts.give}. */
  async cancelTurn(id: string): Promise<boolean> {
    const { problem } = await this.#commands.send(id, { is: 'cancel' });
    return problem === null;
  }

  /** @throws ProblemError as {@link Prompts.give}; permission_not_found, invalid_request. */
  async permit(id: string, permissionId: string, request: PermissionRequest): Promise<void> {
    if ('optionId' in request) {
      await this.#commands.run(id, { is: 'permit', permissionId, optionId: request.optionId });
      return;
    }
    const { decision, remember } = request;
    const offered = optionIdFor(this.#readState(this.#connected.get(id).directory), permissionId, decision);
    // The runner refuses an option that is not offered; it also knows whether the permission is pending.
    const optionId = offered ?? (decision === 'deny' ? null : '');
    await this.#commands.run(id, { is: 'permit', permissionId, optionId, ...defined({ remember }) });
  }

  /** @throws ProblemError as {@link Prompts.give}; elicitation_not_found. */
  async answer(id: string, elicitationId: string, answer: ElicitationAnswer): Promise<void> {
    await this.#commands.run(id, { is: 'elicit', elicitationId, answer });
  }

  #readState(directory: string): Fields {
    return this.#states.read(directory).fields;
  }

  get #connected(): AgentJobs {
    if (!this.#jobs) throw new Error('agents have no jobs yet');
    return this.#jobs;
  }
}
