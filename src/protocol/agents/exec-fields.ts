/**
 * The fields of `POST /exec` that only mode acp has. The words are those of the Agent Client Protocol
 * (https://agentclientprotocol.com) where it has any.
 * @module
 */
import {
  type Parser, array, boolean, described, nullable, number, oneOf, optional, optionalText, parser, refuse, text,
} from '../../base/parse.ts';
import { type McpServer, mcpServer } from './mcp-servers.ts';
import { type DenialAction, type PermissionPolicy, denialActions, permissionPolicy } from './permission-policy.ts';
import { type Prompt, prompt } from './prompt-blocks.ts';
import { shortText } from './short-text.ts';

/** `prompt`: a conversation. The others list the agent's earlier sessions, delete one, or log the agent out. */
export const sessionActions = ['prompt', 'list', 'delete', 'logout'] as const;
export type SessionAction = (typeof sessionActions)[number];

/** Versions of the Agent Client Protocol; 2 is a draft. */
export type AcpVersion = 1 | 2;

/** Defaults of the request's fields. */
export const agentDefaults = {
  agent: 'copilot', permissions: 'all', askTimeoutSeconds: 300, killGraceSeconds: 10, acpVersion: 1,
} as const;

const maxSeconds = 31_536_000;

const acpVersion: Parser<AcpVersion> = parser({ enum: [1, 2] }, (value, at) =>
  (value === 1 || value === 2 ? value : refuse(at, '1 or 2', value)));

/** The fields of a request that only mode acp has; {@link agentShape} describes each. */
export interface AgentFields {
  readonly agent?: string;
  readonly prompt?: Prompt;
  readonly acp_session_id?: string;
  readonly model?: string;
  readonly effort?: string;
  readonly agentMode?: string;
  readonly strictConfig?: boolean;
  readonly permissions?: PermissionPolicy;
  readonly askTimeout?: number;
  readonly askDefault?: 'approve' | 'deny';
  readonly onDenied?: DenialAction;
  readonly trustAgent?: boolean;
  readonly keepAlive?: number;
  readonly lifetime?: number | null;
  readonly mcpServers?: readonly McpServer[];
  readonly additionalDirectories?: readonly string[];
  readonly authMethod?: string;
  readonly elicitation?: boolean;
  readonly sessionAction?: SessionAction;
  readonly acpVersion?: AcpVersion;
  readonly persistent_session_key?: string;
  readonly persistent_shell?: boolean | string;
}

/** As the parser of a request leaves them. */
export type GivenAgentFields = { readonly [F in keyof AgentFields]-?: AgentFields[F] | undefined };

export const agentShape: { readonly [F in keyof GivenAgentFields]: Parser<GivenAgentFields[F]> } = {
  agent: described(
    `Mode acp: the agent, by the name of one that is known (see GET /agents), or the command that starts it. Default ${
      agentDefaults.agent
    }.`,
    optionalText(text({ max: 65_536 })),
  ),
  prompt: described(
    'Mode acp: what the agent is to do, as text or as content blocks of the Agent Client Protocol. Without one only '
      + 'the session is begun.',
    optional(emptyIsAbsent(prompt)),
  ),
  acp_session_id: described(
    'Mode acp: an earlier session of the agent to continue.',
    optionalText(text({ max: 4096 })),
  ),
  model: described('Mode acp: the model, by its id or name.', optionalText(shortText)),
  effort: described(
    'Mode acp: how much the model is to think, by the id or name that the agent has for it.',
    optionalText(shortText),
  ),
  agentMode: described('Mode acp: the mode of the session, by its id or name.', optionalText(shortText)),
  strictConfig: described(
    'Mode acp: a model, effort or agentMode that the agent does not have fails the job. Default true.',
    optional(boolean),
  ),
  permissions: described(
    'Mode acp: what the agent may do, where it asks permission and where it writes and runs through the server '
      + 'without asking: read, edits (no commands), all, each within the directories of the job; ask, deny, or rules, '
      + 'of which the '
      + `first that fits decides. Default ${agentDefaults.permissions}; approve is an older name of it.`,
    optional(permissionPolicy),
  ),
  askTimeout: described(
    `Mode acp: seconds to wait for an answer where a person is asked. Default ${agentDefaults.askTimeoutSeconds}.`,
    optional(number({ above: 0, max: maxSeconds, unit: 'seconds' })),
  ),
  askDefault: described(
    'Mode acp: what holds when a question timed out: deny, the default, or approve, as edits does.',
    optional(oneOf('approve', 'deny')),
  ),
  onDenied: described(
    'Mode acp: fail cancels the turn at the first denial and fails the job with permission_denied. Default continue.',
    optional(oneOf(...denialActions)),
  ),
  trustAgent: described(
    'Mode acp: run an agent that has no mode known to ask permission (policy_not_supported) all the same. Default '
      + 'false.',
    optional(boolean),
  ),
  keepAlive: described(
    'Mode acp: seconds that the agent waits for another prompt after a turn. Default 0.',
    optional(number({ min: 0, max: maxSeconds, unit: 'seconds' })),
  ),
  lifetime: described('Mode acp: seconds until the job is ended, whatever it is at; null, the default, for none.',
    optional(nullable(number({ above: 0, max: maxSeconds, unit: 'seconds' })))),
  mcpServers: described(
    'Mode acp: servers of the Model Context Protocol that the agent is to use.',
    optional(array(mcpServer, { max: 100 })),
  ),
  additionalDirectories: described(
    'Mode acp: directories beside the workdir that the agent may use; relative to it; `~` and `~/…` are in the home '
      + 'directory.',
    optional(array(shortText, { max: 100 })),
  ),
  authMethod: described(
    'Mode acp: the id of the method by which to log in to the agent. Default: none, agents that are logged in need '
      + 'none.',
    optionalText(shortText),
  ),
  elicitation: described(
    'Mode acp: the agent may ask questions, which the job shows as pendingElicitations. Default false: it may not.',
    optional(boolean),
  ),
  sessionAction: described(
    'Mode acp: prompt (the default); list: the sessions that the agent remembers; delete: it forgets the session '
      + 'acp_session_id; logout.',
    optional(oneOf(...sessionActions)),
  ),
  acpVersion: described(
    `Mode acp: the highest version of the protocol to agree on; 2 is a draft. Default ${agentDefaults.acpVersion}.`,
    optional(acpVersion),
  ),
  persistent_session_key: described(
    'Mode acp: the persistent shell that runs the commands which the agent gives to its client.',
    optionalText(text({ max: 256 })),
  ),
  persistent_shell: described(
    'Mode acp: run those commands in a persistent shell, of persistent_session_key or of the job\'s own; the name of '
      + 'a shell says which one it is. Default: where there is a persistent_session_key.',
    optional(switchOrShell()),
  ),
};

export const agentFields = Object.keys(agentShape) as readonly (keyof AgentFields)[];

/** Existing clients send the name of the shell, or leave it empty. */
function switchOrShell(): Parser<boolean | string | undefined> {
  const name = text({ max: 64 });
  return parser({ type: ['boolean', 'string'] }, (value, at) => {
    if (value === '') return undefined;
    return typeof value === 'string' ? name(value, at) : boolean(value, at);
  });
}

function emptyIsAbsent<T>(inner: Parser<T>): Parser<T | undefined> {
  return parser(inner.schema, (value, at) => (value === '' ? undefined : inner(value, at)));
}
