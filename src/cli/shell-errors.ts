/**
 * What a shell says of a line that was typed. It ran the line as a file of its job, and names that file, which means nothing to a person.
 * @module
 */
import type { JobId } from '../client/client.ts';

/**
 * Names the shell in the place of the file: `bash: line 1: x: command not found`. Each byte of what is not such a message stays.
 *
 * @param stderr A part of the stderr of the job.
 */
export function withoutFile(id: JobId, stderr: Uint8Array): Uint8Array {
  const text = Buffer.from(stderr).toString('latin1');
  if (!text.includes(`${id}/command:`)) return stderr;
  const file = `/[^\\n]*?/${id}/command`;
  const named = text
    .replaceAll(new RegExp(`^${file}(?=: line \\d+: )`, 'gm'), 'bash')
    .replaceAll(new RegExp(`^${file}(?=:\\d+: )`, 'gm'), 'zsh')
    // dash: its own name and the line stand in front.
    .replaceAll(new RegExp(`^([^\\n:]+: \\d+: )${file}: `, 'gm'), '$1');
  return Buffer.from(named, 'latin1');
}
