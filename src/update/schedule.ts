/**
 * When to check for updates automatically. Pure, except for the time zone of this machine.
 * @module
 */
import { ParseError, refuse } from '../base/parse.ts';

/** A part of each day, in local time. */
export interface TimeWindow {
  /** As the user wrote it. */
  readonly text: string;
  /** Minutes after midnight. */
  readonly from: number;
  /** Minutes after midnight; of the next day where it is not after `from`. */
  readonly to: number;
}

export interface Schedule {
  readonly intervalSeconds: number;
  /** Default: all day. */
  readonly window: TimeWindow | undefined;
}

export interface Moment {
  /** Unix seconds. */
  readonly now: number;
  /** From 0 to 1, as `Math.random`. */
  readonly random: () => number;
}

/** Largest part by which an interval is shortened, so that machines that were started together do not ask together. */
const jitter = 0.1;
/** Shortest delay before the first check: a machine that has just started is busy. */
const firstSeconds = 10;

/**
 * Reads `HH:MM-HH:MM`. `22:00-04:00` spans midnight.
 *
 * @param path Name of the value in messages.
 * @throws ParseError when it is not a window, or has no length.
 */
export function parseWindow(text: string, path = 'the update window'): TimeWindow {
  const [, fromHour, fromMinute, toHour, toMinute] =
    /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(text) ?? [];
  if (fromHour === undefined) refuse(path, 'HH:MM-HH:MM, such as 02:00-05:00', text);
  const [from, to] = [Number(fromHour) * 60 + Number(fromMinute), Number(toHour) * 60 + Number(toMinute)];
  if (from === to) {
    throw new ParseError(path, `it begins and ends at ${text.slice(0, 5)}; leave it out to allow all day`);
  }
  return { text, from, to };
}

/** Time of the first check after a start: a random moment within the interval. @returns Unix seconds. */
export function firstCheckAt({ intervalSeconds, window, now, random }: Schedule & Moment): number {
  const delay = Math.min(intervalSeconds, Math.max(firstSeconds, random() * intervalSeconds));
  return within(window, Math.round(now + delay), intervalSeconds, random);
}

/**
 * Time of the next check: an interval later, or a little sooner; where that is outside the window, soon after it opens.
 *
 * @returns Unix seconds.
 */
export function nextCheckAt({ intervalSeconds, window, now, random }: Schedule & Moment): number {
  // Sooner and never later: with an interval of a day, no day's window is missed.
  const delay = intervalSeconds * (1 - jitter * random());
  return within(window, Math.round(now + delay), intervalSeconds, random);
}

function within(window: TimeWindow | undefined, at: number, intervalSeconds: number, random: () => number): number {
  if (window === undefined) return at;
  const { opens, closes } = nextOpening(window, at);
  if (opens <= at) return at;
  return Math.floor(opens + random() * Math.min(closes - opens, jitter * intervalSeconds));
}

/** The window that is open at that time, or the next one to open. */
function nextOpening({ from, to }: TimeWindow, at: number): { readonly opens: number; readonly closes: number } {
  const length = to > from ? to : to + 24 * 60;
  for (let day = -1; ; day += 1) {
    const [opens, closes] = [localTime(at, day, from), localTime(at, day, length)];
    // When the clocks go forward, a day may have no window.
    if (opens < closes && closes > at) return { opens, closes };
  }
}

/** Unix seconds of the local time that many days and minutes after the midnight before `at`. */
function localTime(at: number, day: number, minutes: number): number {
  const date = new Date(at * 1000);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() + day, 0, minutes).getTime() / 1000;
}
