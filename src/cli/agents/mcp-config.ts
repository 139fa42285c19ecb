/**
 * Servers of the Model Context Protocol as most programs have them in a file: `{"mcpServers": {"NAME": {"command": …, "args": […], "env": {…}}}}`, or
 * with a `url` and `headers`.
 * @module
 */
import { readFileSync } from 'node:fs';
import type { McpServer } from '../../client/client.ts';
import { UsageError } from '../failure.ts';

/** What they may say for people or for other programs. */
const passedOver: ReadonlySet<string> = new Set(['disabled', 'description', 'autoApprove', 'alwaysAllow', 'timeout']);

/** What is wrong with a server of it, whoever gets the request says. @throws UsageError where the file cannot be read. */
export function readMcpConfig(path: string): readonly McpServer[] {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`Cannot read --mcp-config: ${(error as Error).message}`, 'prompt');
  }
  const named = fieldsOf(fieldsOf(content)['mcpServers'] ?? content);
  return Object.entries(named).filter(([, server]) => fieldsOf(server)['disabled'] !== true).map(([name, server]) => {
    const given = Object.fromEntries(Object.entries(fieldsOf(server)).filter(([field]) => !passedOver.has(field)));
    const type = 'url' in given && given['type'] === undefined ? { type: 'http' } : {};
    // The server parses it, as it does all of the request.
    return { name, ...type, ...given } as unknown as McpServer;
  });
}

function fieldsOf(value: unknown): { readonly [field: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as { readonly [field: string]: unknown } : {};
}
