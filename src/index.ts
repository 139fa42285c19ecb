/**
 * The package `machine-sidecar`: a server to run inside another program, and agents without a server.
 * `machine-sidecar/client` calls a server.
 * @module
 */
import type { RunAgentOptions, RunAgentResult } from './agents/runner/run-agent.ts';
import type { SidecarOptions } from './client/transport/transport.ts';
import { ownEnvironment, ownProxies } from './config/environment.ts';
import { ownVersion } from './process/own-version.ts';
import { throughProxy as throughProxyOf } from './proxy/through-proxy.ts';

export type { AgentEvent } from './protocol/agents/events.ts';
export type { RunAgentOptions, RunAgentResult } from './agents/runner/run-agent.ts';
export { createLog, type Log, type LogOptions } from './base/log.ts';
export { type Config, loadConfig } from './config/config.ts';
export type { PendingPermission, ToolCall } from './protocol/agents/job-details.ts';
export type { McpServer } from './protocol/agents/mcp-servers.ts';
export type { PermissionPolicy, PermissionPreset, PermissionRule } from './protocol/agents/permission-policy.ts';
export type { Prompt, PromptBlock } from './protocol/agents/prompt-blocks.ts';
export { type Server, startServer } from './server/server.ts';

/**
 * Runs an agent that speaks the Agent Client Protocol. Resolves once the agent and all processes that it started
 * have ended; a failure of the agent is in the result.
 */
export async function runAgent(options: RunAgentOptions): Promise<RunAgentResult> {
  const { runAgent: runAgentIn } = await import('./agents/runner/run-agent.ts');
  return await runAgentIn(options, { environment: ownEnvironment(), version: ownVersion() });
}

/**
 * Options for `new Sidecar({ url, key, ...throughProxy() })`: requests and terminals go through the proxy that
 * `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name.
 */
export function throughProxy(): Required<Pick<SidecarOptions, 'fetch' | 'connect'>> {
  return throughProxyOf(ownProxies());
}
