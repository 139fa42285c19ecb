/**
 * Agents as jobs: starts their runners, shows the fields of their jobs, and sends commands to them.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { replaceFile } from '../../base/files/atomic-file.ts';
import { defined } from '../../base/defined.ts';
import { makeFolder } from '../../base/files/make-folder.ts';
import type { Log } from '../../base/log.ts';
import { ParseError } from '../../base/parse.ts';
import { withoutNode } from '../../process/launcher/carry.ts';
import { utf8Locale } from '../../process/environment/locale.ts';
import type { JobShells } from '../../process/launcher/job-shells.ts';
import { homeDirectory } from '../../process/environment/user.ts';
import { expanded } from '../../process/workdir.ts';
import { ownProgram } from '../../process/own-program.ts';
import { waitedForLabel } from '../../jobs/kind.ts';
import type { Launch } from '../../process/launcher/launch-script.ts';
import type { AgentJobDetails, AgentJobSummary, AgentTurn } from '../../protocol/agents/job-details.ts';
import type { AgentChange, PermissionRequest, PromptTaken, TurnsQuery } from '../../protocol/agents/calls.ts';
import { agentDefaults } from '../../protocol/agents/exec-fields.ts';
import type { AgentList } from '../../protocol/agents/listing.ts';
import type { AgentProgram } from '../../protocol/agents/program.ts';
import { type Prompt, promptBlocks } from '../../protocol/agents/prompt-blocks.ts';
import type { InstallRequest } from '../../protocol/agents/install-requests.ts';
import type { JobId } from '../../protocol/ids.ts';
import { type ProblemCode, ProblemError } from '../../protocol/problem.ts';
import type { Repeatable } from '../../protocol/repeatable.ts';
import type { ElicitationAnswer } from '../acp/agent-requests.ts';
import type { AgentJob, AgentJobs, Continuation } from './agent-jobs.ts';
import { changesOf, detailsOf, optionIdFor, phaseOf, resultOf, summaryOf } from './job-view.ts';
import { checkAgentName, findAgents } from '../registry.ts';
import { programOf, shellKeyOf, withoutClaude } from './agent-program.ts';
import { installOrder, installSeconds, installedAgents } from './installs.ts';
import { askingEnvironment } from '../acp/asking-mode.ts';
import type { Fields } from '../../base/loose.ts';
import { ShellCommandBroker } from './shell-command-broker.ts';
import { StateCache } from '../state-file.ts';
import { toRunnerConfig } from '../to-runner-config.ts';
import { type RunnerConfig, type CommandResult, type RunnerCommand, runnerConfigFile } from '../runner-config.ts';
import { type TurnEnd, type WholeTurn, shownTurns, wholeTurn } from './turns.ts';

export interface AgentsOptions {
  /** Environment that jobs inherit. */
  readonly env: { readonly [name: string]: string };
  readonly jobShells: JobShells;
  readonly version: string;
  /**
   * The program that a job of this server runs to install an agent: it takes the directory as an argument, and an
   * {@link InstallOrder} on stdin.
   */
  readonly installProgram: ReturnType<typeof ownProgram>;
  /** Directory of the agents that jobs of this server install. */
  readonly directory: string;
  readonly isSupported: boolean;
  /** Whether a login can be done in a terminal of the server. */
  readonly hasTerminals: () => boolean;
  readonly log: Log;
}

type Command = RunnerCommand extends infer C ? C extends RunnerCommand ? Omit<C, 'id'> : never : never;

const program = ownProgram(import.meta.url, '../runner/main');
/** Label of a job that installs an agent: the agent's name. */
const installLabel = 'sidecar.agentInstall';
/** Node options that save memory: a runner is idle nearly always. */
const memoryOptions = ['--max-semi-space-size=2', '--v8-pool-size=1'];
/** Milliseconds of one wait for changes of an agent's job. */
const watchMs = 60_000;
/** Milliseconds that a runner has to act on a command. */
const commandMs = 10_000;

/** The job of an agent. */
export interface AgentLaunch extends Pick<Launch, 'id' | 'directory' | 'workdir' | 'env'> {
  readonly program: AgentProgram;
  /** Limit of each turn; `null`: none. */
  readonly timeoutSeconds: number | null;
}

export class Agents {
  readonly #options: AgentsOptions;
  readonly #states = new StateCache();
  #jobs: AgentJobs | undefined;
  #isClosed = false;
  /** Agents that were to be watched before {@link connect}. */
  readonly #earlyLaunches: AgentLaunch[] = [];
  readonly #watched = new Set<string>();
  /** Jobs whose continuation in a new job is being started. */
  readonly #continuing = new Map<string, Promise<unknown>>();

  constructor(options: AgentsOptions) {
    this.#options = options;
  }

  /** Sets the jobs that the agents run as. */
  connect(jobs: AgentJobs): void {
    this.#jobs = jobs;
    for (const launch of this.#earlyLaunches.splice(0)) this.watch(launch);
    // Agents may have ended while no server was running.
    jobs.endLabelled(waitedForLabel, (id) => this.#isFinished(id))
      .catch((error: unknown) => this.#options.log.warn('cannot end what agents have left', { error }));
  }

  get isSupported(): boolean {
    return this.#options.isSupported;
  }

  /** Same as `once` of the jobs. */
  once<T>(id: string, request: Repeatable, call: string, act: (sameId: string | undefined) => Promise<T>): Promise<T> {
    return this.#connected.once(id, request, call, act);
  }

  list(): AgentList {
    const all = findAgents(this.#options.env['PATH'] ?? '', installedAgents(this.#options.directory));
    return {
      defaultAgent: agentDefaults.agent,
      agents: all.map(({ name, title, argv, packageName, path, version = null }) =>
        ({ name, title, command: argv, packageName, installed: path !== null, path, version })),
    };
  }

  /**
   * Starts the job that installs an agent. A request with the key of an earlier one returns the job of that one.
   *
   * @returns the id of the job. @throws ParseError; ProblemError not_supported, and those of a request for a job.
   */
  async install(name: string, asked: InstallRequest, request: Repeatable): Promise<JobId> {
    if (!this.isSupported) throw new ProblemError('not_supported', 'Cannot install an agent: this platform runs none');
    const { directory, env, installProgram: { file, loaders, path } } = this.#options;
    const order = installOrder(name, asked, env['PATH'] ?? '');
    makeFolder(directory, { mode: 0o700 });
    return await this.#connected.startProgram({
      // On stdin, no other user can see the variables of the entry.
      argv: [file, ...loaders, path, directory], stdin: JSON.stringify(order), workdir: directory,
      name: `install ${name}`, labels: { [installLabel]: name }, timeoutSeconds: installSeconds,
    }, request, `POST /agents/${name}/install`);
  }

  /** @throws ParseError, ProblemError not_supported where the job could not be started. */
  async admit(asked: AgentProgram, { workdir, env }: Pick<AgentLaunch, 'workdir' | 'env'>): Promise<void> {
    const { additionalDirectories = [], shell, agent, argv } = asked;
    if (!this.isSupported) {
      throw new ProblemError(
        'not_supported',
        'Cannot run an agent: this platform has no process groups and FIFOs, which its runner needs',
      );
    }
    if (shell === 'pwsh' || shell === 'powershell') {
      throw new ProblemError(
        'not_supported',
        `Cannot run the commands of an agent in ${shell}: they are written for bash, zsh and sh`,
      );
    }
    const { PATH: path = '' } = this.#environmentOf(env);
    const installed = installedAgents(this.#options.directory);
    if (agent !== undefined && argv === undefined) checkAgentName(agent.trim(), { path, workdir, installed });
    for (const [index, path] of additionalDirectories.entries()) {
      const found = stat(expanded(path, this.#home, workdir));
      const isDirectory = await found.then((stats) => stats.isDirectory(), () => false);
      if (!isDirectory) {
        throw new ParseError(
          `body.additionalDirectories[${index}]`,
          `expected an existing directory, received ${JSON.stringify(path)}`,
        );
      }
    }
  }

  /**
   * Writes the runner's configuration to the directory.
   *
   * @returns what is to be started there.
   * @throws the system's error.
   */
  prepare(launch: AgentLaunch): Pick<Launch, 'argv' | 'workdir' | 'env'> {
    replaceFile(join(launch.directory, runnerConfigFile), JSON.stringify(this.#runnerConfigOf(launch)));
    // The runner needs no environment of its own, and variables for Node could disturb it.
    return {
      argv: [program.file, ...program.loaders, ...memoryOptions, program.path, launch.directory],
      workdir: dirname(program.path),
      env: withoutNode(this.#options.env),
    };
  }

  /** The job runs, started now or by an earlier server: answers its requests to this server. */
  watch(launch: AgentLaunch): void {
    if (!this.#jobs) return void this.#earlyLaunches.push(launch);
    const { id, directory, workdir, env, program: asked } = launch;
    const sessionKey = shellKeyOf(id, asked);
    if (sessionKey === undefined || this.#watched.has(id)) return;
    this.#watched.add(id);
    const broker = new ShellCommandBroker({
      state: () => this.#readState(directory), isClosed: () => this.#isClosed, isFinished: () => this.#isFinished(id),
      log: this.#options.log,
      changed: (isSame) => this.#connected.until(id, () => !isSame(), watchMs),
      start: (commandId, command) => this.#connected.startInShell(
        { sessionKey, shell: asked.shell, command, workdir, env, labels: { [waitedForLabel]: id } },
        `${id}/${commandId}`,
      ),
      send: (update) => this.#send(id, update),
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
    const { directory, end } = this.#agentJob(id);
    return await shownTurns(directory, end, query);
  }

  /** @throws ProblemError as {@link turns}; turn_not_found. */
  async turn(id: string, number: string): Promise<WholeTurn> {
    const { directory, end } = this.#agentJob(id);
    const turn = /^[1-9]\d{0,8}$/.test(number) ? await wholeTurn(directory, Number(number), end) : undefined;
    if (turn) return turn;
    const { turnCount } = this.summary(directory);
    const asked = JSON.stringify(number.slice(0, 64));
    throw new ProblemError('turn_not_found', `Cannot find turn ${asked} of job ${id}: it has ${turnCount}, from 1`);
  }

  /**
   * Sends the prompt of the next turn to the last job that continues this one. If the agent of that job has ended,
   * starts a new job that continues its session, with the prompt as its first turn.
   *
   * @param sameId Key of a request that may be repeated: a prompt that a runner took with this key is not sent again,
   * and no second job is started.
   * @throws ProblemError job_not_found, not_an_agent, job_not_running, too_many_prompts, unavailable; those of a
   * request for a job if one is started.
   */
  async prompt(id: string, prompt: Prompt, sameId?: string): Promise<PromptTaken> {
    const known = sameId === undefined ? undefined : this.#connected.byKey(continuationKey(sameId));
    if (known) return toPromptTaken(known);
    for (;;) {
      const { job, hasTaken } = this.#lastOf(id, sameId);
      const going = this.#continuing.get(job.id);
      if (going) await going.catch(() => undefined);
      else if (job.isAgent && job.isFinished && !hasTaken) return await this.#continue(job, prompt, sameId);
      else {
        const turn = await this.#turnOf(job, prompt, sameId);
        if (turn !== undefined) return { jobId: job.id, turn, ...(job.id === id ? {} : { continues: id }) };
      }
    }
  }

  /** The last job in the chain of continuations of this one, or the job that has taken the request already. */
  #lastOf(id: string, sameId: string | undefined): { readonly job: AgentJob; readonly hasTaken: boolean } {
    for (let job = this.#connected.get(id); ;) {
      const result = sameId === undefined ? undefined : resultOf(this.#readState(job.directory), sameId);
      if (result?.problem === null) return { job, hasTaken: true };
      if (job.continuedBy === undefined) return { job, hasTaken: false };
      job = this.#connected.get(job.continuedBy);
    }
  }

  /** @returns `undefined` if the agent ended before it took the prompt. @throws ProblemError as {@link prompt}. */
  async #turnOf({ id, directory }: AgentJob, prompt: Prompt, sameId: string | undefined): Promise<number | undefined> {
    try {
      return (await this.#command(id, { is: 'prompt', prompt: promptBlocks(prompt) ?? [] }, sameId)).turn ?? 0;
    } catch (error) {
      if (!(error instanceof ProblemError) || error.code !== 'job_not_running') throw error;
      // The job is about to end, unless the agent is at its last turn.
      if (phaseOf(this.#readState(directory)) !== 'turn') await this.#connected.until(id, () => false, commandMs);
      if (!this.#isFinished(id)) throw error;
      return undefined;
    }
  }

  async #continue({ id, directory }: AgentJob, prompt: Prompt, sameId: string | undefined): Promise<PromptTaken> {
    const state = this.#readState(directory);
    const { acpSessionId } = summaryOf(state);
    if (acpSessionId === null) {
      throw new ProblemError('job_not_running',
        `Cannot reach the agent of job ${id}: it has ended, and had no session to continue`);
    }
    const differing = { ...changesOf(state), prompt, acp_session_id: acpSessionId };
    const going = this.#connected
      .continueJob(id, differing, sameId === undefined ? undefined : continuationKey(sameId));
    this.#continuing.set(id, going);
    return toPromptTaken(await going.finally(() => this.#continuing.delete(id)));
  }

  /**
   * Changes the agent's settings, also in the middle of a turn. @returns the settings that apply now.
   *
   * @throws ProblemError as {@link prompt}; config_not_supported, agent_error; not_supported if the runner was started
   * by a version that cannot do it.
   */
  async change(id: string, change: AgentChange, sameId?: string): Promise<AgentChange> {
    const { changed } = await this.#command(id, { is: 'change', change }, sameId);
    if (changed) return changed;
    const why = 'an earlier version of the server has started it';
    throw new ProblemError('not_supported', `Cannot change the agent of job ${id}: ${why}`);
  }

  /** Cancels the current turn. @returns whether there was one. @throws ProblemError as {@link prompt}. */
  async cancelTurn(id: string): Promise<boolean> {
    const { problem } = await this.#send(id, { is: 'cancel' });
    return problem === null;
  }

  /** @throws ProblemError as {@link prompt}; permission_not_found, invalid_request. */
  async permit(id: string, permissionId: string, request: PermissionRequest): Promise<void> {
    if ('optionId' in request) {
      await this.#command(id, { is: 'permit', permissionId, optionId: request.optionId });
      return;
    }
    const { decision, remember } = request;
    const offered = optionIdFor(this.#readState(this.#connected.get(id).directory), permissionId, decision);
    // The runner refuses an option that is not offered; it also knows whether the permission is pending.
    const optionId = offered ?? (decision === 'deny' ? null : '');
    await this.#command(id, { is: 'permit', permissionId, optionId, ...defined({ remember }) });
  }

  /** @throws ProblemError as {@link prompt}; elicitation_not_found. */
  async answer(id: string, elicitationId: string, answer: ElicitationAnswer): Promise<void> {
    await this.#command(id, { is: 'elicit', elicitationId, answer });
  }

  #readState(directory: string): Fields {
    return this.#states.read(directory).fields;
  }

  get #home(): string {
    return homeDirectory(this.#options.env);
  }

  /** @param env The environment of the request. */
  #environmentOf(env: AgentsOptions['env']): AgentsOptions['env'] {
    return { ...withoutClaude(this.#options.env), ...env };
  }

  #isFinished(id: string): boolean {
    try {
      return this.#connected.get(id).isFinished;
    } catch (error) {
      if (error instanceof ProblemError) return true;
      throw error;
    }
  }

  #agentJob(id: string): AgentJob {
    const job = this.#connected.get(id);
    if (!job.isAgent) throw new ProblemError('not_an_agent', `Cannot ask this of job ${id}: it runs no agent`);
    return job;
  }

  get #connected(): AgentJobs {
    if (!this.#jobs) throw new Error('agents have no jobs yet');
    return this.#jobs;
  }

  async #command(id: string, command: Command, sameId?: string): Promise<CommandResult> {
    const result = await this.#send(id, command, sameId);
    if (result.problem === null) return result;
    throw new ProblemError(problemOf(result, command), `Cannot reach the agent of job ${id}: ${result.message}`);
  }

  /** Sends a command to the runner of a job, and resolves with the result. */
  async #send(id: string, command: Command, commandId: string = randomUUID()): Promise<CommandResult> {
    const jobs = this.#connected;
    const job = this.#agentJob(id);
    const ended = (): ProblemError =>
      new ProblemError('job_not_running',
        `Cannot reach the agent of job ${id}: it has ended; a prompt continues its session`);
    const state = this.#readState(job.directory);
    const known = resultOf(state, commandId);
    if (known) return known;
    if (job.isFinished || phaseOf(state) === 'ended') throw ended();
    await jobs.command(id, JSON.stringify({ id: commandId, ...command }));
    let result: CommandResult | undefined;
    const isReached = (): boolean => (result ??= resultOf(this.#readState(job.directory), commandId)) !== undefined;
    await jobs.until(id, isReached, commandMs);
    if (isReached() && result) return result;
    if (jobs.get(id).isFinished) throw ended();
    throw new ProblemError(
      'unavailable',
      `Cannot reach the agent of job ${id}: its runner has not answered yet; look at the job again`,
      { headers: { 'Retry-After': '2' } },
    );
  }

  #runnerConfigOf({ id, workdir, env, program: asked, timeoutSeconds: turnSeconds }: AgentLaunch): RunnerConfig {
    const ofJob = this.#environmentOf(env);
    const installed = installedAgents(this.#options.directory);
    const { argv, env: ofAgent = {} } = programOf(asked, ofJob['PATH'] ?? '', installed);
    const merged = { ...ofAgent, ...ofJob, SIDECAR_JOB_ID: id };
    // Agents write files and show text in the locale of their environment.
    const inherited: RunnerConfig['env'] = { ...utf8Locale(merged), ...merged };
    const asking = askingEnvironment(argv, asked.permissions ?? agentDefaults.permissions);
    const environment = { ...inherited, ...asking, ...env, SIDECAR_JOB_ID: id };
    return toRunnerConfig(asked, {
      mark: id, version: this.#options.version, argv, workdir, env: environment,
      hasShell: shellKeyOf(id, asked) !== undefined,
      home: this.#home, turnSeconds, ...(this.#options.hasTerminals() ? { loginEnv: ofAgent } : {}),
      shell: this.#options.jobShells.defaultProgram,
    });
  }
}

function continuationKey(sameId: string): string {
  return `continue/${sameId}`;
}

function toPromptTaken({ id, continues, keepAlive }: Continuation): PromptTaken {
  return { jobId: id, turn: 1, continues, keepAlive };
}

function problemOf({ problem }: CommandResult, { is }: Command): ProblemCode {
  switch (problem) {
    case 'unknown': return is === 'elicit' ? 'elicitation_not_found' : 'permission_not_found';
    case 'unfit': return is === 'change' ? 'config_not_supported' : 'invalid_request';
    case 'failed': return 'agent_error';
    case 'full': return 'too_many_prompts';
    case 'ended':
    case null: return 'job_not_running';
  }
}
