/**
 * Opens what an agent may use of the machine: the directories of its job, and what runs its commands.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { asSystemError } from '../../base/error-code.ts';
import { markName } from '../../process/descendants.ts';
import { AgentFailure } from '../acp/agent-failure.ts';
import type { RunnerConfig } from '../runner-config.ts';
import { AgentCommands, type CommandsHost } from '../services/commands.ts';
import { Sandbox } from '../services/sandbox.ts';
import { ShellCommands } from '../services/shell-commands.ts';

export interface OpenedServices {
  readonly sandbox: Sandbox;
  readonly commands: CommandsHost;
  /** What runs the commands, if it is a persistent shell. */
  readonly shell: ShellCommands | undefined;
}

/** @param onChange Called when the requests to the persistent shell have changed. @throws AgentFailure */
export async function openServices(
  { workdir, additionalDirectories, env, mark, hasShell, shell: program }: RunnerConfig, onChange: () => void,
): Promise<OpenedServices> {
  const sandbox = await openSandbox(workdir, additionalDirectories);
  const shell = hasShell ? new ShellCommands({ sandbox, onChange }) : undefined;
  const commands = shell
    ?? new AgentCommands({ sandbox, env: { ...env, [markName]: mark }, ...defined({ shell: program }) });
  return { sandbox, commands, shell };
}

/** @throws AgentFailure */
async function openSandbox(workdir: string, additionalDirectories: readonly string[]): Promise<Sandbox> {
  try {
    return await Sandbox.of(workdir, additionalDirectories);
  } catch (error) {
    const { code = '', message, path = workdir } = asSystemError(error);
    const why = code === 'ENOENT' || code === 'ENOTDIR' ? `the directory ${path} is not there` : message;
    throw new AgentFailure('not_started', `Cannot start the agent: ${why}`, { cause: error });
  }
}
