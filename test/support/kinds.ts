/**
 * The kinds of jobs, for tests of what is below them: none of them is given a job to run.
 * @module
 */
import { AgentJobKind } from '../../src/agents/job-kind.ts';
import type { Agents } from '../../src/agents/server/agents.ts';
import { JobKinds } from '../../src/jobs/kinds.ts';
import { ProcessKind } from '../../src/jobs/run/process-kind.ts';
import { JobShells } from '../../src/process/launcher/job-shells.ts';
import { ShellJobKind } from '../../src/shells/job-kind.ts';
import type { Shells } from '../../src/shells/shells.ts';

export const processKind: ProcessKind = new ProcessKind({
  jobShells: new JobShells({ preferred: undefined, path: '' }), inherited: {}, hasPipes: true,
});

export const kinds: JobKinds = new JobKinds([processKind, new ShellJobKind({} as Shells), new AgentJobKind({} as Agents)]);
