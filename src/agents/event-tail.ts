/**
 * The last events of an agent, from its file.
 * @module
 */
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { checkFolder, openRegularLater, readAt } from '../base/untrusted-file.ts';
import { lineWithin } from '../base/untrusted-json.ts';
import { eventBounds } from '../process/agent-host.ts';
import { eventsFile } from './order.ts';

export interface EventTail {
  readonly lines: readonly unknown[];
  /** There are more before. */
  readonly isTruncated: boolean;
}

/** The events that the last `maxBytes` of the file hold whole. */
export async function lastEvents(directory: string, maxBytes: number): Promise<EventTail> {
  const file = await openQuietly(join(directory, eventsFile));
  if (!file) return { lines: [], isTruncated: false };
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - maxBytes);
    const text = (await readAt(file, start, size - start)).toString();
    // Where it does not begin with a line, what is left of one is none; nor is what has no end yet.
    const whole = text.slice(start === 0 ? 0 : text.indexOf('\n') + 1, text.lastIndexOf('\n') + 1);
    return { lines: whole.split('\n').flatMap(eventOf), isTruncated: start > 0 };
  } finally {
    await file.close();
  }
}

/** An event, as its line has it; none where a full disk tore it, or no runner wrote it. */
export function eventOf(line: string): readonly unknown[] {
  const event = line === '' ? undefined : lineWithin(line, eventBounds);
  return event === undefined ? [] : [event];
}

async function openQuietly(path: string): Promise<FileHandle | undefined> {
  try {
    checkFolder(dirname(path));
    return await openRegularLater(path);
  } catch {
    // Nothing has happened yet, or something has replaced the file.
    return undefined;
  }
}
