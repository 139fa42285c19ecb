/**
 * The package `machine-sidecar`: a server to run inside a program of one's own, and agents without one. For calling a server:
 * `machine-sidecar/client`.
 * @module
 */
import type { RunAgentOptions, RunAgentResult } from './agents/run-agent.ts';
import type { SidecarOptions } from './client/endpoint.ts';
import { ownEnvironment, ownProxies } from './config.ts';
import { ownVersion } from './process/own-version.ts';
import { throughProxy as throughProxyOf } from './proxy/through-proxy.ts';

export type { AgentEvent } from './agents/order.ts';
export type { RunAgentOptions, RunAgentResult } from './agents/run-agent.ts';
export { createLog, type Log, type LogOptions } from './base/log.ts';
export { type Config, loadConfig } from './config.ts';
export type { PendingPermission, ToolCall } from './protocol/agent-jobs.ts';
export type { McpServer, PermissionPolicy, PermissionPreset, PermissionRule, Prompt, PromptBlock } from './protocol/agents.ts';
export { type Server, startServer } from './server.ts';

/**
 * Runs an agent that speaks the Agent Client Protocol, from its start to its end. Resolves once it and all that it started have ended; what goes
 * wrong with it is in the result.
 */
export async function runAgent(options: RunAgentOptions): Promise<RunAgentResult> {
  const { runAgent: runAgentIn } = await import('./agents/run-agent.ts');
  return await runAgentIn(options, { environment: ownEnvironment(), version: ownVersion() });
}

/**
 * For `new Sidecar({ url, key, ...throughProxy() })`: requests and terminals go through the proxy that `HTTPS_PROXY`,
 * `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name.
 */
export function throughProxy(): Required<Pick<SidecarOptions, 'fetch' | 'connect'>> {
  return throughProxyOf(ownProxies());
}
