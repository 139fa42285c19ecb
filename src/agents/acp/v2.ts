/**
 * Translates version 2 of the Agent Client Protocol, a draft (schema/v2 of npm @agentclientprotocol/sdk 2.4.0), to
 * version 1, the only version that the rest of the client knows.
 *
 * Version 2 has no `session/load` and no files, terminals and modes of the client. A turn does not end with the answer
 * to its prompt, see `v2-foreground.ts`.
 * @module
 */
import { createHash, type Hash } from 'node:crypto';
import { type Fields, fieldsOf, isFields, listOf, textOf } from '../../base/loose.ts';
import { truncate } from '../../base/text/truncate.ts';
import { maxDiffCharacters } from '../../protocol/agents/job-details.ts';
import type { McpServer } from '../../protocol/agents/mcp-servers.ts';
import { type AgentAbilities, agentInfoOf, authMethodsOf, isAble } from './v1.ts';

/** Whether the answer to `initialize` is one of version 2. Agents of version 1 may merely repeat the number. */
export function isV2(answer: unknown): boolean {
  const { protocolVersion, agentCapabilities, agentInfo } = fieldsOf(answer);
  return protocolVersion === 2 && agentCapabilities === undefined && agentInfo === undefined;
}

/** @param answer The answer to `initialize`. @param client As for `abilitiesOf`. */
export function abilitiesOfV2(answer: unknown, client: { readonly hasTerminals: boolean }): AgentAbilities {
  const { info, capabilities, authMethods } = fieldsOf(answer);
  const session = fieldsOf(capabilities)['session'];
  const { prompt, mcp, ...more } = fieldsOf(session);
  const has = (fields: unknown, name: string): boolean => isAble(fieldsOf(fields), name);
  // Every agent with sessions supports these.
  const isBaseline = isFields(session);
  return {
    protocolVersion: 2,
    info: agentInfoOf(info),
    prompt: {
      image: has(prompt, 'image'), audio: has(prompt, 'audio'), embeddedContext: has(prompt, 'embeddedContext'),
    },
    mcp: { stdio: has(mcp, 'stdio'), http: has(mcp, 'http'), sse: false },
    session: {
      load: false, resume: isBaseline, list: isBaseline, close: isBaseline, delete: has(more, 'delete'),
      additionalDirectories: has(more, 'additionalDirectories'),
    },
    // An agent with login methods also has `auth/logout`.
    canLogOut: listOf(authMethods).length > 0,
    authMethods: authMethodsOf(listOf(authMethods).map(fieldsOf).flatMap(({ type, methodId: id, name, args, env }) => {
      if (type !== 'agent' && type !== 'terminal') return [];
      return [{ type, id, name, args, env: variablesOf(env) }];
    }), client),
  };
}

/** @param env A list of `{name, value}`. */
function variablesOf(env: unknown): Fields {
  return Object.fromEntries(listOf(env).map(fieldsOf).map(({ name, value }) => [textOf(name) ?? '', value]));
}

/** The MCP servers of a new session, in the form of version 2. */
export function mcpServersOfV2(servers: readonly McpServer[]): readonly object[] {
  return servers.map((server) => ('type' in server ? server : { type: 'stdio', ...server }));
}

/** @param params The parameters of `session/request_permission`. */
export function permissionOfV2(params: unknown): Fields {
  const { sessionId, title, subject, options } = fieldsOf(params);
  const { type, toolCall, command, cwd, toolCallId } = fieldsOf(subject);
  const about = { sessionId, options };
  if (type === 'tool_call') return { ...about, toolCall: withoutNull({ title, ...withoutNull(fieldsOf(toolCall)) }) };
  if (type === 'command') {
    const rawInput = withoutNull({ command, cwd });
    return { ...about, toolCall: withoutNull({ toolCallId, title, kind: 'execute', rawInput }) };
  }
  return { ...about, toolCall: { title, kind: 'other' } };
}

interface ReportedMessage {
  readonly characters: number;
  /** Hash of these characters: the message itself may be long. */
  readonly hash: Hash;
}

/** Messages, and tool calls, that are remembered; the oldest are dropped. */
const maxRemembered = 200;
const maxDiffs = 1000;

/** Translates the updates of one session. Unknown updates are passed on unchanged. */
export class UpdatesV2 {
  readonly #reported = new Map<string, ReportedMessage>();
  /** The diffs of each tool call that has not ended. */
  readonly #diffs = new Map<string, readonly unknown[]>();

  /** @returns the equivalent updates of version 1. */
  read(update: unknown): readonly unknown[] {
    const fields = fieldsOf(update);
    switch (fields['sessionUpdate']) {
      case 'agent_message_chunk':
      case 'agent_thought_chunk': return this.#chunk(fields);
      case 'agent_message': return this.#message(fields, 'agent_message_chunk');
      case 'agent_thought': return this.#message(fields, 'agent_thought_chunk');
      case 'tool_call_update': return [this.#toolCall(fields)];
      case 'tool_call_content_chunk': return [this.#toolContent(fields)];
      case 'plan_update': {
        const { type, planId, entries } = fieldsOf(fields['plan']);
        return type === 'items' ? [{ sessionUpdate: 'plan', planId, entries }] : [update];
      }
      default: return [update];
    }
  }

  #chunk(chunk: Fields): readonly Fields[] {
    this.#add(messageOf(chunk), fieldsOf(chunk['content'])['text']);
    return [chunk];
  }

  /**
   * Translates the whole content of a message to the part that was not reported yet. If the content begins differently
   * from what was reported, all of it is reported, on a new line.
   */
  #message({ messageId, content }: Fields, sessionUpdate: string): readonly Fields[] {
    // The content is unchanged, or it is cleared: reported text cannot be taken back.
    if (!Array.isArray(content)) return [];
    const key = messageOf({ messageId, sessionUpdate });
    const blocks = listOf(content).map(fieldsOf);
    const text = blocks.map((block) => textOf(block['text']) ?? '').join('');
    const reported = this.#reported.get(key);
    const isSame = reported === undefined
      || reported.hash.copy().digest('hex') === digest(text.slice(0, reported.characters));
    const rest = isSame ? text.slice(reported?.characters ?? 0) : `\n${text}`;
    const others = reported === undefined ? blocks.filter(({ type }) => type !== 'text') : [];
    if (!isSame) this.#reported.delete(key);
    this.#add(key, isSame ? rest : text);
    const news = [...(rest === '' ? [] : [{ type: 'text', text: rest }]), ...others];
    return news.map((block) => ({ sessionUpdate, messageId, content: block }));
  }

  #add(key: string, text: unknown): void {
    if (typeof text !== 'string') return;
    const { characters, hash } = this.#reported.get(key) ?? { characters: 0, hash: createHash('sha256') };
    remember(this.#reported, key, { characters: characters + text.length, hash: hash.update(text, 'utf16le') });
  }

  #toolCall({ content, status, ...fields }: Fields): Fields {
    const id = textOf(fields['toolCallId']) ?? '';
    const isOver = status === 'completed' || status === 'failed' || status === 'cancelled';
    const items = Array.isArray(content) ? content.flatMap(contentOf) : undefined;
    if (isOver) this.#diffs.delete(id);
    else if (items) remember(this.#diffs, id, items.filter(isDiff).slice(0, maxDiffs));
    const known = status === undefined ? {} : { status: statuses[String(status)] ?? status };
    return { ...fields, ...(items ? { content: items } : {}), ...known };
  }

  /** Version 1 always reports the whole content of a tool call. */
  #toolContent({ toolCallId, content }: Fields): Fields {
    const id = textOf(toolCallId) ?? '';
    const added = contentOf(content);
    const diffs = [...this.#diffs.get(id) ?? [], ...added.filter(isDiff)].slice(0, maxDiffs);
    remember(this.#diffs, id, diffs);
    const all = [...diffs, ...added.filter((item) => !isDiff(item))];
    return { sessionUpdate: 'tool_call_update', toolCallId, content: all };
  }
}

const statuses: { readonly [status: string]: string } = { cancelled: 'failed', paused: 'in_progress' };

function messageOf({ messageId, sessionUpdate }: Fields): string {
  return `${String(sessionUpdate)} ${textOf(messageId) ?? ''}`;
}

function digest(text: string): string {
  return createHash('sha256').update(text, 'utf16le').digest('hex');
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > maxRemembered && oldest !== undefined) map.delete(oldest);
}

function isDiff(item: unknown): boolean {
  return fieldsOf(item)['type'] === 'diff';
}

/** Splits a diff into one per changed file. */
function contentOf(item: unknown): readonly unknown[] {
  if (!isDiff(item)) return [item];
  const { changes, patch } = fieldsOf(item);
  const files = textsOf(fieldsOf(patch));
  return listOf(changes).map(fieldsOf).flatMap(({ operation, path }) => {
    if (typeof path !== 'string') return [];
    const { oldText = '', newText = '' } = files.find(({ name }) => path === name || path.endsWith(`/${name}`)) ?? {};
    return [{ type: 'diff', operation, path, oldText: operation === 'add' ? null : oldText, newText }];
  });
}

interface FileTexts {
  readonly name: string;
  readonly oldText: string;
  readonly newText: string;
}

/**
 * The text before and after, for each file of a patch in git's format (git-diff(1)): only the lines around its changes.
 */
function textsOf({ format, text }: Fields): readonly FileTexts[] {
  if (format !== 'git_patch' || typeof text !== 'string') return [];
  return truncate(text, maxDiffCharacters).split(/^(?=diff --git )/m).flatMap((file) => {
    const [head = '', ...hunks] = file.split(/^@@.*\n/m);
    const name = /^\+\+\+ b\/(.*)$/m.exec(head)?.[1] ?? /^--- a\/(.*)$/m.exec(head)?.[1];
    const lines = hunks.flatMap((hunk) => hunk.replace(/\n$/, '').split('\n'));
    const side = (mark: string): string =>
      lines.filter((line) => [mark, ' '].includes(line.charAt(0))).map((line) => `${line.slice(1)}\n`).join('');
    return name === undefined ? [] : [{ name, oldText: side('-'), newText: side('+') }];
  });
}

function withoutNull(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined));
}
