/**
 * The agents that can be asked for by name.
 * @module
 */
import { boolean, described } from '../../base/parse.ts';
import { list, orNull, shape, string } from '../answer.ts';

/** An agent that can be requested by name. */
export interface AgentListing {
  readonly name: string;
  readonly title: string;
  /** The command that starts it. */
  readonly command: readonly string[];
  /** The npm package, or the other source that it was installed from. */
  readonly packageName: string;
  readonly installed: boolean;
  /** The path of its program; `null`: it is not installed. */
  readonly path: string | null;
  /** The version that a job of the server installed; `null`: unknown. */
  readonly version: string | null;
}

export interface AgentList {
  readonly agents: readonly AgentListing[];
  /** The agent for a request that names none. */
  readonly defaultAgent: string;
}

const agentListing = shape<AgentListing>({
  name: described(
    'What it is asked for by; of several of one name the first that is installed is meant', string,
  ),
  title: string,
  command: described('What starts it', list(string)),
  packageName: described('Of npm', string),
  installed: boolean,
  path: described('Of its program', orNull(string)),
  version: described('Where POST /agents/{name}/install has installed it', orNull(string)),
}, { relies: ['name', 'title', 'command', 'packageName', 'installed'] });

export const agentList = shape<AgentList>(
  { agents: list(agentListing), defaultAgent: string },
  { name: 'a list of agents', relies: ['agents', 'defaultAgent'] },
);
