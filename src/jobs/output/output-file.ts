/**
 * Reads a stream of a job from its file for an answer. The file is open only while it is read.
 * @module
 */
import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { readAt } from '../../base/files/untrusted-file.ts';
import type { FileBudget } from '../../process/open-files.ts';
import type { OutputQuery } from '../../protocol/jobs/queries.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { TrackedJob } from '../tracked-job.ts';
import { openOutput, startOfLastLines } from './output.ts';

/** The part of the file to send, and where to. */
export interface Sending {
  readonly first: number;
  /** Inclusive: what is appended to the file meanwhile is not part of the answer. */
  readonly last: number;
  readonly sink: { write(chunk: Uint8Array): Promise<void> };
}

const sentBytes = 2 ** 18;

/** Where the output that a query names begins, and the size of all. @throws ProblemError output_unreadable. */
export async function startOf(
  job: TrackedJob, path: string, { offset, tailLines }: OutputQuery,
): Promise<{ readonly start: number; readonly size: number }> {
  const file = await openReadable(job, path);
  if (!file) return { start: offset ?? 0, size: 0 };
  try {
    const { size } = await file.stat();
    if (tailLines === undefined) return { start: offset ?? 0, size };
    const start = await startOfLastLines(file, size, tailLines);
    return { start: Math.max(start, offset ?? 0), size };
  } finally {
    await file.close();
  }
}

/** @param readers Counts the files that are open. @throws ProblemError output_unreadable. */
export async function sendOutput(
  job: TrackedJob, path: string, sending: Sending, readers: FileBudget,
): Promise<void> {
  if (!readers.tryTake()) return await sendPieces(job, path, sending);
  try {
    await sendFile(job, path, sending);
  } finally {
    readers.release();
  }
}

async function sendFile(job: TrackedJob, path: string, { first, last, sink }: Sending): Promise<void> {
  const file = await openReadable(job, path);
  if (!file) throw unreadable(job, path);
  try {
    for await (const chunk of file.createReadStream({
      start: first, end: last, autoClose: false, highWaterMark: sentBytes,
    })) {
      await sink.write(chunk as Buffer);
    }
  } finally {
    await file.close();
  }
}

/** {@link sendFile} for when the limit of open files is reached: the file is open only while a piece is read. */
async function sendPieces(job: TrackedJob, path: string, { first, last, sink }: Sending): Promise<void> {
  for (let offset = first; offset <= last;) {
    const file = await openReadable(job, path);
    if (!file) throw unreadable(job, path);
    const piece = await readAt(file, offset, Math.min(sentBytes, last - offset + 1)).finally(() => file.close());
    if (piece.length === 0) return;
    await sink.write(piece);
    offset += piece.length;
  }
}

/** `undefined`: there is no output yet. @throws ProblemError output_unreadable. */
async function openReadable(job: TrackedJob, path: string): Promise<FileHandle | undefined> {
  const file = await openOutput(path);
  if (file === 'replaced') throw unreadable(job, path);
  return file;
}

function unreadable(job: TrackedJob, path: string): ProblemError {
  return new ProblemError('output_unreadable',
    `Cannot read ${basename(path)} of job ${job.toString()}: something has replaced the file`);
}
