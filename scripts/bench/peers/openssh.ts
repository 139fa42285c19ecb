/** Peer: OpenSSH, over an open connection; each command has its own client process. @module */
import type { Bench } from '../bench.ts';
import { median } from '../statistics.ts';
import { startSsh, timeCommands } from '../yardsticks/ssh.ts';
import type { JobLoad, JobTimes, MissingPeer, Peer } from './peer.ts';

const name = 'ssh';
/** The share of the jobs of other peers that it runs, since each job takes ten times as long. */
const JOB_SHARE = 0.25;

/** Starts sshd. The clients' CPU time is not counted. */
export async function startOpenSsh(bench: Bench): Promise<Peer | MissingPeer> {
  const ssh = await startSsh(bench);
  if (!ssh.isThere) return { name, missing: ssh.reason };
  const run = async ({ concurrency, count }: JobLoad): Promise<JobTimes> => {
    const each = Math.ceil((count * JOB_SHARE) / concurrency);
    const times = await timeCommands(bench, ssh.command, { concurrency, count: each });
    const begunMs = Math.min(...times.map((time) => time.begunMs));
    const endedMs = Math.max(...times.map((time) => time.endedMs));
    return {
      p50Ms: median(times.map((time) => time.endedMs - time.begunMs)),
      perSecond: (times.length / (endedMs - begunMs)) * 1000,
      jobs: times.length,
    };
  };
  return { name, tree: { pid: ssh.pid }, run };
}
