/**
 * Reads a registry of the Agent Client Protocol, from a file or a URL:
 * `{"agents": [{"id": …, "distribution": …}, …]}`, or a single one of its entries
 * (https://github.com/agentclientprotocol/registry, FORMAT.md).
 * @module
 */
import { readFileSync } from 'node:fs';
import { knownAgents } from '../../agents/registry.ts';
import { closest } from '../../base/text/closest.ts';
import { fieldsOf } from '../../base/loose.ts';
import type { AgentEntry } from '../../client/client.ts';
import { ownProxies } from '../../config/environment.ts';
import { throughProxy } from '../../proxy/through-proxy.ts';
import { readJson } from '../../update/fetch/read-json.ts';
import { SourceError } from '../../update/errors.ts';
import { CommandError } from '../failure.ts';

/** The address in its documentation: https://agentclientprotocol.com/get-started/registry */
export const publicRegistry = 'https://cdn.agentclientprotocol.com/registry/v1/latest/registry.json';
const maxRegistryBytes = 16 * 2 ** 20;

/** The server checks the entry. @throws CommandError when the registry cannot be read or lacks the agent. */
export async function registryEntry(source: string, id: string): Promise<AgentEntry> {
  const content = fieldsOf(await read(source, id));
  const agents = Array.isArray(content['agents']) ? content['agents'].map(fieldsOf) : [content];
  const found = agents.find((agent) => agent['id'] === id);
  if (found) return found as unknown as AgentEntry;
  const ids = agents.flatMap((agent) => (typeof agent['id'] === 'string' ? [agent['id']] : []));
  const hint = hintFor(id, ids) ?? `It has: ${ids.slice(0, 100).join(', ')}`;
  throw new CommandError(`Cannot find ${id} in ${source}`, { hint });
}

/** @param ids The agents of a registry; the known agents need no registry. */
function hintFor(id: string, ids: readonly string[]): string | undefined {
  const meant = closest(id, [...knownAgents.map(({ name }) => name), ...ids]);
  return meant === undefined ? undefined : `Did you mean ${meant}?`;
}

async function read(source: string, id: string): Promise<unknown> {
  try {
    if (!/^https?:\/\//i.test(source)) return JSON.parse(readFileSync(source, 'utf8'));
    const { fetch } = throughProxy(ownProxies());
    return await readJson(new URL(source), { maxBytes: maxRegistryBytes, attempts: 2, fetch });
  } catch (error) {
    const hint = hintFor(id, []) ?? 'Another registry: --registry FILE|URL';
    const why = error instanceof SourceError ? error.message : `Cannot read ${source}: ${(error as Error).message}`;
    throw new CommandError(why, { hint });
  }
}
