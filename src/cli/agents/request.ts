/**
 * Turns the flags of `sidecar prompt` into a request.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { processFields, workdirOf } from '../process-fields.ts';
import { readFileSync } from 'node:fs';
import { basename, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type AgentRequest,
  type PermissionPolicy,
  type PermissionRule,
  type Prompt,
  type PromptBlock,
  permissionPresets,
  rulesOf,
} from '../../client/client.ts';
import type { Values } from '../command.ts';
import type { Connection } from '../connect.ts';
import { UsageError } from '../failure.ts';
import { optional, seconds } from '../values.ts';
import { readMcpConfig } from './mcp-config.ts';

export const requestOptions = {
  agent: {
    type: 'string', short: 'a', value: 'AGENT',
    description: 'A name that "sidecar agents" shows, or the command that starts one. Default: copilot',
  },
  permissions: {
    type: 'string', value: 'PRESET',
    description: 'What it may do: read, edits, all, ask or deny. Default: all; with --rule edits',
  },
  ask: { type: 'boolean', description: 'As --permissions ask: here, or by "sidecar permissions"' },
  deny: { type: 'boolean', description: 'As --permissions deny' },
  'allow-commands': { type: 'boolean', description: 'As --permissions all' },
  rule: {
    type: 'string', multiple: true, value: 'RULE',
    description: 'Before all of these: kind=execute,command=npm *,decide=approve; may be repeated',
  },
  'on-denied': {
    type: 'string', value: 'ACTION',
    description: 'fail: the first denial ends the turn and fails the job. Default: continue',
  },
  'trust-agent': {
    type: 'boolean',
    description: 'Run one that has no mode known to ask permission, whatever the permissions',
  },
  model: { type: 'string', short: 'm', value: 'MODEL', description: 'The model, by its id or name' },
  effort: {
    type: 'string', value: 'EFFORT',
    description: 'How much the model is to think, by the word that the agent has for it',
  },
  'agent-mode': { type: 'string', value: 'MODE', description: 'The mode of the session, by its id or name' },
  'config-optional': { type: 'boolean', description: 'Continue where the agent has no such model, effort or mode' },
  workdir: {
    type: 'string', short: 'C', value: 'DIR',
    description: 'Where it works. Default: here for the local server, else where the server runs',
  },
  'add-dir': {
    type: 'string', multiple: true, value: 'DIR',
    description: 'A further directory that it may use; may be repeated',
  },
  attach: {
    type: 'string', multiple: true, value: 'FILE',
    description: 'A file of this machine to send along; may be repeated',
  },
  'mcp-config': {
    type: 'string', value: 'FILE',
    description: 'The MCP servers that it is to use, as {"mcpServers": {NAME: {"command": …}}}',
  },
  env: {
    type: 'string', short: 'e', multiple: true, value: 'NAME[=VALUE]',
    description: 'Laid over the environment of the server; without =VALUE that of here is passed on. May be repeated',
  },
  session: { type: 'string', value: 'ID', description: 'Continue an earlier session of the agent' },
  'auth-method': {
    type: 'string', value: 'ID',
    description: 'How to log in to the agent; without it an agent that needs it tells which ones it has',
  },
  'acp-version': {
    type: 'string', value: '1|2',
    description: 'Highest version of the protocol to speak; 2 is a draft',
  },
  'keep-alive': {
    type: 'string', value: 'TIME',
    description: 'It waits so long for another prompt, see --on. Default: 0; with -i 1h',
  },
  'ask-timeout': {
    type: 'string', value: 'TIME',
    description: 'Deny what is not answered within that time. Default: 5m',
  },
  questions: { type: 'boolean', description: 'It may ask questions, to be answered by "sidecar permissions"' },
  timeout: {
    type: 'string', short: 't', value: 'TIME',
    description: 'End it when a turn takes longer: 90, 5m, 1h; waiting for an answer does not count. Default: none',
  },
  lifetime: {
    type: 'string', value: 'TIME', description: 'End it after that time, also in the middle of a turn. Default: none',
  },
  name: { type: 'string', value: 'NAME', description: 'Name of the job, shown by "sidecar jobs"' },
  label: {
    type: 'string', multiple: true, value: 'NAME=VALUE',
    description: 'Label of the job, for filters; may be repeated',
  },
} as const;

export type RequestValues = Values<typeof requestOptions>;

/** Fields of the request, and where the user gives them. */
export const flagNames: { readonly [field: string]: string } = {
  agent: '--agent', prompt: 'the prompt', permissions: '--rule', model: '--model', effort: '--effort',
  agentMode: '--agent-mode', workdir: '--workdir', additionalDirectories: '--add-dir', mcpServers: '--mcp-config',
  env: '--env', acp_session_id: '--session', authMethod: '--auth-method', keepAlive: '--keep-alive',
  acpVersion: '--acp-version', askTimeout: '--ask-timeout', onDenied: '--on-denied', timeout: '--timeout',
  lifetime: '--lifetime', name: '--name', labels: '--label',
};

/** Seconds: longer than a person thinks about the next prompt, but finite in case the person does not return. */
const interactiveKeepAliveSeconds = 3600;

export interface AgentRequestOptions {
  readonly isInteractive: boolean;
  /** Where `--env NAME` takes its value from. */
  readonly environment: { readonly [name: string]: string };
}

/** @param prompt `undefined`: the agent only begins a session. @throws UsageError */
export function agentRequest(
  values: RequestValues,
  prompt: Prompt | undefined,
  connection: Connection,
  { isInteractive, environment }: AgentRequestOptions,
): AgentRequest {
  const { isLocal } = connection;
  const keepAlive = optional(seconds, values['keep-alive'], 'keep-alive');
  const directory = (path: string): string => workdirOf(path, isLocal) ?? path;
  return {
    timeout: optional(seconds, values.timeout, 'timeout') ?? null,
    ...processFields(values, { isLocal, environment }),
    ...defined({
      agent: values.agent,
      prompt,
      permissions: policyOf(values),
      onDenied: wordOf(['continue', 'fail'], values['on-denied'], 'on-denied'),
      trustAgent: values['trust-agent'],
      model: values.model,
      effort: values.effort,
      agentMode: values['agent-mode'],
      strictConfig: values['config-optional'] === true ? false : undefined,
      additionalDirectories: values['add-dir']?.map(directory),
      mcpServers: optional(readMcpConfig, values['mcp-config'], 'mcp-config'),
      acp_session_id: values.session,
      authMethod: values['auth-method'],
      acpVersion: versionOf(values['acp-version']),
      keepAlive: keepAlive ?? (isInteractive ? interactiveKeepAliveSeconds : undefined),
      lifetime: optional(seconds, values.lifetime, 'lifetime'),
      askTimeout: optional(seconds, values['ask-timeout'], 'ask-timeout'),
      elicitation: values.questions,
    }),
  };
}

/** @throws UsageError */
function versionOf(text: string | undefined): AgentRequest['acpVersion'] {
  if (text === undefined) return undefined;
  if (text === '1') return 1;
  if (text === '2') return 2;
  throw new UsageError(`Cannot read --acp-version: expected 1 or 2, received "${text}"`, 'prompt');
}

const presetFlags = ['ask', 'deny', 'allow-commands', 'permissions'] as const;

/** `undefined`: the server's default policy applies. @throws UsageError */
export function policyOf(
  values: Pick<RequestValues, (typeof presetFlags)[number] | 'rule'>,
): PermissionPolicy | undefined {
  const given = presetFlags.filter((name) => values[name] !== undefined && values[name] !== false);
  if (given.length > 1) throw new UsageError(`Give one of ${given.map((name) => `--${name}`).join(' and ')}`, 'prompt');
  const named = wordOf(permissionPresets, values.permissions, 'permissions');
  const presets = { ask: 'ask', deny: 'deny', 'allow-commands': 'all', permissions: named } as const;
  const [preset] = given.map((name) => presets[name]);
  const rules = (values.rule ?? []).map(ruleOf);
  return rules.length === 0 ? preset : [...rules, ...rulesOf(preset ?? 'edits')];
}

/** @throws UsageError when `given` is not one of `words`. */
function wordOf<const T extends string>(words: readonly T[], given: string | undefined, flag: string): T | undefined {
  const word = words.find((one) => one === given);
  if (word !== undefined || given === undefined) return word;
  throw new UsageError(`Cannot read --${flag}: expected ${words.join(', ')}, received "${given}"`, 'prompt');
}

/** A comma belongs to a pattern, unless the name of a field follows it. @throws UsageError */
function ruleOf(text: string): PermissionRule {
  const fields = Object.fromEntries(text.split(/,(?=(?:kind|tool|path|command|decide)=)/).map((part) => {
    const [start, name = ''] = /^(kind|tool|path|command|decide)=./s.exec(part) ?? [];
    if (start === undefined) throw ruleError(text);
    return [name, part.slice(name.length + 1)];
  }));
  const { kind, tool, path, command, decide } = fields;
  if (decide !== 'approve' && decide !== 'deny' && decide !== 'ask') throw ruleError(text);
  return { ...defined({ kind, tool, path, command }), decide };
}

function ruleError(text: string): UsageError {
  return new UsageError(
    'Cannot read --rule: expected any of kind=, tool=, path= and command=, and decide=approve, deny or ask, '
      + `with commas in between, received "${text}"`,
    'prompt',
  );
}

/** The prompt with the attached files. @throws UsageError when a file cannot be read. */
export function promptWith(text: string, files: readonly string[] | undefined, { isLocal }: Connection): Prompt {
  if (files === undefined) return text;
  return [{ type: 'text', text }, ...files.map((file) => attachment(resolve(file), isLocal))];
}

const imageTypes: { readonly [extension: string]: string } = {
  '.png': 'image/png', '.jpg': 'image/jpeg', '.jpeg': 'image/jpeg', '.gif': 'image/gif', '.webp': 'image/webp',
};

/** Bytes of the largest image that still fits into a request, as base64. */
const maxImageBytes = 700_000;

/**
 * An image is sent as data, unless it is too large and the server is local. Any other file is named by its path for a
 * local server, and sent as a resource to a remote one.
 */
function attachment(path: string, isLocal: boolean): PromptBlock {
  const bytes = contentOf(path);
  const uri = pathToFileURL(path).href;
  const mimeType = imageTypes[extname(path).toLowerCase()];
  if (mimeType !== undefined && (bytes.length <= maxImageBytes || !isLocal)) {
    return { type: 'image', data: bytes.toString('base64'), mimeType };
  }
  if (isLocal) return { type: 'resource_link', uri, name: basename(path) };
  const text = bytes.toString();
  return {
    type: 'resource',
    resource: Buffer.from(text).equals(bytes) ? { uri, text } : { uri, blob: bytes.toString('base64') },
  };
}

function contentOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`Cannot read --attach: ${(error as Error).message}`, 'prompt');
  }
}
