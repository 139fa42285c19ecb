/** What the kernel says of processes that the tests have started. */
import { readFileSync } from 'node:fs';

/** The children of a process (proc(5), /proc/pid/task/tid/children); none of one that has ended. */
export function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter((word) => word !== '').map(Number);
  } catch {
    return [];
  }
}
