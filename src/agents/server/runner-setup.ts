/**
 * Prepares the runner of an agent's job: checks the request, and writes what the runner has to do.
 * @module
 */
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { replaceFile } from '../../base/files/atomic-file.ts';
import { ParseError } from '../../base/parse.ts';
import { utf8Locale } from '../../process/environment/locale.ts';
import { homeDirectory } from '../../process/environment/user.ts';
import { withoutNode } from '../../process/launcher/carry.ts';
import type { JobShells } from '../../process/launcher/job-shells.ts';
import type { Launch } from '../../process/launcher/launch-script.ts';
import { ownProgram } from '../../process/own-program.ts';
import { expanded } from '../../process/workdir.ts';
import { agentDefaults } from '../../protocol/agents/exec-fields.ts';
import type { AgentProgram } from '../../protocol/agents/program.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { askingEnvironment } from '../acp/asking-mode.ts';
import { checkAgentName } from '../registry.ts';
import { type RunnerConfig, runnerConfigFile } from '../runner-config.ts';
import { toRunnerConfig } from '../to-runner-config.ts';
import { programOf, shellKeyOf, withoutClaude } from './agent-program.ts';
import { installedAgents } from './installs.ts';

export interface RunnerSetupOptions {
  /** Environment that jobs inherit. */
  readonly env: { readonly [name: string]: string };
  readonly jobShells: JobShells;
  readonly version: string;
  /** Directory of the agents that jobs of this server install. */
  readonly directory: string;
  readonly isSupported: boolean;
  /** Whether a login can be done in a terminal of the server. */
  readonly hasTerminals: () => boolean;
}

/** The job of an agent. */
export interface AgentLaunch extends Pick<Launch, 'id' | 'directory' | 'workdir' | 'env'> {
  readonly program: AgentProgram;
  /** Limit of each turn; `null`: none. */
  readonly timeoutSeconds: number | null;
}

const program = ownProgram(import.meta.url, '../runner/main');
/** Node options that save memory: a runner is idle nearly always. */
const memoryOptions = ['--max-semi-space-size=2', '--v8-pool-size=1'];

export class RunnerSetup {
  readonly #options: RunnerSetupOptions;

  constructor(options: RunnerSetupOptions) {
    this.#options = options;
  }

  /** @throws ParseError, ProblemError not_supported where the job could not be started. */
  async check(asked: AgentProgram, { workdir, env }: Pick<AgentLaunch, 'workdir' | 'env'>): Promise<void> {
    const { additionalDirectories = [], shell, agent, argv } = asked;
    if (!this.#options.isSupported) {
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

  get #home(): string {
    return homeDirectory(this.#options.env);
  }

  /** @param env The environment of the request. */
  #environmentOf(env: RunnerSetupOptions['env']): RunnerSetupOptions['env'] {
    return { ...withoutClaude(this.#options.env), ...env };
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
