/**
 * A registry of the Agent Client Protocol, from a file or an address: `{"agents": [{"id": …, "distribution": …}, …]}`,
 * or one of its entries alone (https://github.com/agentclientprotocol/registry, FORMAT.md).
 * @module
 */
import { readFileSync } from 'node:fs';
import { closest } from '../../base/closest.ts';
import type { AgentEntry } from '../../client/client.ts';
import { ownProxies } from '../../config.ts';
import { throughProxy } from '../../proxy/through-proxy.ts';
import { CommandError, UsageError } from '../failure.ts';

const timeoutMs = 60_000;

/** What is wrong with the entry the server says. @throws CommandError, UsageError */
export async function registryEntry(source: string, id: string): Promise<AgentEntry> {
  const content = fieldsOf(await read(source));
  const agents = Array.isArray(content['agents']) ? content['agents'].map(fieldsOf) : [content];
  const found = agents.find((agent) => agent['id'] === id);
  if (found) return found as unknown as AgentEntry;
  const ids = agents.flatMap((agent) => (typeof agent['id'] === 'string' ? [agent['id']] : []));
  const meant = closest(id, ids);
  const hint = meant === undefined ? `It has: ${ids.slice(0, 100).join(', ')}` : `Did you mean ${meant}?`;
  throw new CommandError(`Cannot find ${id} in ${source}`, { hint });
}

async function read(source: string): Promise<unknown> {
  try {
    if (!/^https?:\/\//i.test(source)) return JSON.parse(readFileSync(source, 'utf8'));
    const answer = await throughProxy(ownProxies()).fetch(source, { signal: AbortSignal.timeout(timeoutMs) });
    if (!answer.ok) throw new Error(`${source} was answered with status ${answer.status}`);
    return await answer.json();
  } catch (error) {
    throw new UsageError(`Cannot read --registry: ${(error as Error).message}`, 'agents');
  }
}

function fieldsOf(value: unknown): { readonly [field: string]: unknown } {
  return typeof value === 'object' && value !== null ? value as { readonly [field: string]: unknown } : {};
}
