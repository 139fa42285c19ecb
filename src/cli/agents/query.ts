/**
 * Jobs that only ask an agent something: its sessions, a login, a logout.
 * @module
 */
import type { AgentRequest, Job } from '../../client/client.ts';
import type { Connection } from '../connect.ts';
import { toFlagError } from '../flag-error.ts';
import { printAgentEnd } from './ending.ts';

/** Runs a job that only asks the agent something. @returns `undefined` when it has failed, which was reported. */
export async function runQuery(sidecar: Connection['sidecar'], request: AgentRequest): Promise<Job | undefined> {
  const job = await withAgentFlagNames(() => sidecar.agents.run(request));
  if (job.status === 'completed') return job;
  printAgentEnd(job);
  return undefined;
}

/** @throws The error of `begin`, in terms of the flags. */
export async function withAgentFlagNames(begin: () => Promise<Job>): Promise<Job> {
  try {
    return await begin();
  } catch (error) {
    const names = { agent: '--agent', workdir: '--workdir', acp_session_id: '--delete', authMethod: '--auth-method' };
    throw toFlagError(error, names, 'agents');
  }
}
