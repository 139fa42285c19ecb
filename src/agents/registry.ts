/**
 * The agents that can be requested by name, and the commands that start them with the Agent Client Protocol: programs
 * as their npm packages install them (`bin`), arguments as in the public registry
 * (https://agentclientprotocol.com/get-started/agents).
 * @module
 */
import { delimiter, resolve } from 'node:path';
import { closest } from '../base/text/closest.ts';
import { defined } from '../base/defined.ts';
import { describe, ParseError } from '../base/parse.ts';
import { findProgram } from '../process/find-program.ts';

export interface KnownAgent {
  /** The name to request it by. */
  readonly name: string;
  readonly title: string;
  readonly argv: readonly [program: string, ...args: string[]];
  /** The npm package that installs it; for an agent installed from elsewhere, its source. */
  readonly packageName: string;
  /** Variables for it; those of its job take precedence. */
  readonly env?: { readonly [name: string]: string };
  /** The installed version, where it is known. */
  readonly version?: string | null;
}

export interface InstalledAgent extends KnownAgent {
  /** The path of its program; `null` if it is not installed. */
  readonly path: string | null;
}

/** Of several agents with the same name, the first one that is installed is started. */
export const knownAgents: readonly KnownAgent[] = [
  { name: 'copilot', title: 'GitHub Copilot', argv: ['copilot', '--acp', '--stdio'], packageName: '@github/copilot' },
  { name: 'gemini', title: 'Gemini CLI', argv: ['gemini', '--acp'], packageName: '@google/gemini-cli' },
  {
    name: 'claude',
    title: 'Claude Agent',
    argv: ['claude-agent-acp'],
    packageName: '@agentclientprotocol/claude-agent-acp',
  },
  { name: 'claude', title: 'Claude Code', argv: ['claude-code-acp'], packageName: '@zed-industries/claude-code-acp' },
  { name: 'codex', title: 'Codex', argv: ['codex-acp'], packageName: '@agentclientprotocol/codex-acp' },
  { name: 'opencode', title: 'opencode', argv: ['opencode', 'acp'], packageName: 'opencode-ai' },
  { name: 'qwen', title: 'Qwen Code', argv: ['qwen', '--acp'], packageName: '@qwen-code/qwen-code' },
  { name: 'cline', title: 'Cline', argv: ['cline', '--acp'], packageName: 'cline' },
  { name: 'auggie', title: 'Auggie', argv: ['auggie', '--acp'], packageName: '@augmentcode/auggie' },
  { name: 'qoder', title: 'Qoder', argv: ['qodercli', '--acp'], packageName: '@qoder-ai/qodercli' },
  { name: 'pi', title: 'pi', argv: ['pi-acp'], packageName: 'pi-acp' },
];

/** The command that installs a program, if it is that of a known agent: `npm install -g PACKAGE`. */
export function installCommandOf(program: string): string | undefined {
  const agent = knownAgents.find(({ argv }) => argv[0] === program);
  return agent && `npm install -g ${agent.packageName}`;
}

/**
 * @param path The search path of jobs.
 * @param installed Agents that jobs have installed. They come first; a package that they come from is not listed as
 * missing.
 */
export function findAgents(path: string, installed: readonly InstalledAgent[] = []): readonly InstalledAgent[] {
  const known = knownAgents.map((agent) => ({ ...agent, path: findProgram(agent.argv[0], path) ?? null }));
  const isElsewhere = ({ name, packageName }: KnownAgent): boolean => installed.some((one) =>
    one.path !== null && one.name === name && packageNameOf(one.packageName) === packageName);
  return [...installed, ...known.filter((agent) => agent.path !== null || !isElsewhere(agent))];
}

/** The name of a package of npm or PyPI, without its version. */
export function packageNameOf(source: string): string {
  return source.replace(/(?!^)(?:@|==)[^@/=]*$/, '');
}

/** The agent of a name, started by the path of its program if it is installed; `undefined` for an unknown name. */
export function agentNamed(
  name: string, path: string, installed: readonly InstalledAgent[] = [],
): Pick<KnownAgent, 'argv' | 'env'> | undefined {
  const all = findAgents(path, installed).filter((agent) => agent.name === name);
  const chosen = all.find((agent) => agent.path !== null) ?? all[0];
  if (!chosen) return undefined;
  const { argv: [program, ...args], env } = chosen;
  return { argv: [chosen.path ?? program, ...args], ...defined({ env }) };
}

/**
 * Checks a single plain word: it must be the name of a known agent, or of a program on the search path. A text with a
 * slash, a blank or a character that is special to a shell is a command, which cannot be checked before it runs.
 *
 * @param of.path The search path of the job. @param of.workdir The base of its relative folders and empty ones.
 * @param of.installed Agents that jobs have installed.
 * @throws ParseError
 */
export function checkAgentName(
  agent: string,
  of: { readonly path: string; readonly workdir: string; readonly installed?: readonly KnownAgent[] },
): void {
  if (!/^[\w@%+=:,.-]+$/.test(agent)) return;
  const all = [...of.installed ?? [], ...knownAgents];
  if (all.some(({ name, argv }) => name === agent || argv[0] === agent)) return;
  const folders = of.path.split(delimiter).map((folder) => resolve(of.workdir, folder));
  if (findProgram(agent, folders.join(delimiter)) !== undefined) return;
  const names = [...new Set(all.map(({ name }) => name))];
  const meant = closest(agent, names);
  const hint = meant === undefined ? '' : `, did you mean ${JSON.stringify(meant)}?`;
  const command = 'or the command that starts an agent, such as "my-agent --acp" or its path';
  const why = `${describe(agent)} is no program on the PATH of the job${hint}`;
  throw new ParseError('body.agent', `expected one of ${names.join(', ')}, ${command}; ${why}`);
}
