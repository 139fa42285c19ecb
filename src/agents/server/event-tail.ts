/**
 * Reads the last events of an agent from its file.
 * @module
 */
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { checkFolder, openRegularLater, readAt } from '../../base/files/untrusted-file.ts';
import { lineWithin } from '../../base/files/untrusted-json.ts';
import { eventsFile, eventBounds } from '../runner-config.ts';

export interface EventTail {
  readonly lines: readonly unknown[];
  /** Whether there are earlier events. */
  readonly isTruncated: boolean;
}

/** The events that lie completely within the last `maxBytes` of the file. */
export async function lastEvents(directory: string, maxBytes: number): Promise<EventTail> {
  const file = await openQuietly(join(directory, eventsFile));
  if (!file) return { lines: [], isTruncated: false };
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - maxBytes);
    const text = (await readAt(file, start, size - start)).toString();
    // A partial line at the start is skipped, and so is a last line without its end.
    const whole = text.slice(start === 0 ? 0 : text.indexOf('\n') + 1, text.lastIndexOf('\n') + 1);
    return { lines: whole.split('\n').flatMap(eventOf), isTruncated: start > 0 };
  } finally {
    await file.close();
  }
}

/** The event of a line, in a list; an empty list if a full disk tore the line, or no runner wrote it. */
export function eventOf(line: string): readonly unknown[] {
  const event = line === '' ? undefined : lineWithin(line, eventBounds);
  return event === undefined ? [] : [event];
}

async function openQuietly(path: string): Promise<FileHandle | undefined> {
  try {
    checkFolder(dirname(path));
    return await openRegularLater(path);
  } catch {
    // There are no events yet, or something has replaced the file.
    return undefined;
  }
}
