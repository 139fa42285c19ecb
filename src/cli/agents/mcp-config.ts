/**
 * Reads MCP servers from a file in the form that most programs use:
 * `{"mcpServers": {"NAME": {"command": …, "args": […], "env": {…}}}}`, or with a `url` and `headers`.
 * @module
 */
import { readFileSync } from 'node:fs';
import { type Fields, isFields } from '../../base/loose.ts';
import type { McpServer } from '../../client/client.ts';
import { UsageError } from '../failure.ts';

/** Fields meant for people or for other programs; they are left out. */
const ignoredFields: ReadonlySet<string> = new Set([
  'disabled', 'description', 'autoApprove', 'alwaysAllow', 'timeout',
]);

/** The server checks the definitions when it gets the request. @throws UsageError when the file cannot be read. */
export function readMcpConfig(path: string): readonly McpServer[] {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`Cannot read --mcp-config: ${(error as Error).message}`, 'prompt');
  }
  const named = objectOf(objectOf(content)['mcpServers'] ?? content);
  return Object.entries(named).filter(([, server]) => objectOf(server)['disabled'] !== true).map(([name, server]) => {
    const given = Object.fromEntries(Object.entries(objectOf(server)).filter(([field]) => !ignoredFields.has(field)));
    const type = 'url' in given && given['type'] === undefined ? { type: 'http' } : {};
    // The server parses it with the rest of the request.
    return { name, ...type, ...given } as unknown as McpServer;
  });
}

/** A list has no fields by name. */
function objectOf(value: unknown): Fields {
  return isFields(value) ? value : {};
}
