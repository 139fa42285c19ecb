/**
 * The agents that can be asked for by name: lists them, and starts the jobs that install them.
 * @module
 */
import { makeFolder } from '../../base/files/make-folder.ts';
import type { ownProgram } from '../../process/own-program.ts';
import { agentDefaults } from '../../protocol/agents/exec-fields.ts';
import type { InstallRequest } from '../../protocol/agents/install-requests.ts';
import type { AgentList } from '../../protocol/agents/listing.ts';
import type { JobId } from '../../protocol/ids.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Repeatable } from '../../protocol/repeatable.ts';
import { findAgents } from '../registry.ts';
import type { AgentJobs } from './agent-jobs.ts';
import { installOrder, installSeconds, installedAgents } from './installs.ts';

export interface AgentCatalogOptions {
  /** Environment that jobs inherit. */
  readonly env: { readonly [name: string]: string };
  /**
   * The program that a job of this server runs to install an agent: it takes the directory as an argument, and an
   * {@link InstallOrder} on stdin.
   */
  readonly installProgram: ReturnType<typeof ownProgram>;
  /** Directory of the agents that jobs of this server install. */
  readonly directory: string;
  readonly isSupported: boolean;
}

/** Label of a job that installs an agent: the agent's name. */
const installLabel = 'sidecar.agentInstall';

export class AgentCatalog {
  readonly #options: AgentCatalogOptions;
  readonly #jobs: () => AgentJobs;

  constructor(options: AgentCatalogOptions, jobs: () => AgentJobs) {
    this.#options = options;
    this.#jobs = jobs;
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
    const { directory, env, installProgram: { file, loaders, path }, isSupported } = this.#options;
    if (!isSupported) throw new ProblemError('not_supported', 'Cannot install an agent: this platform runs none');
    const order = installOrder(name, asked, env['PATH'] ?? '');
    makeFolder(directory, { mode: 0o700 });
    return await this.#jobs().startProgram({
      // On stdin, no other user can see the variables of the entry.
      argv: [file, ...loaders, path, directory], stdin: JSON.stringify(order), workdir: directory,
      name: `install ${name}`, labels: { [installLabel]: name }, timeoutSeconds: installSeconds,
    }, request, `POST /agents/${name}/install`);
  }
}
