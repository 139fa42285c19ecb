/**
 * Replacements for signals, process groups and `/proc` on Windows: system programs.
 * @module
 */
import { execFile } from 'node:child_process';

/**
 * How far the start time that a program sees and that of the system may differ: virus scanners check it first. In
 * milliseconds.
 */
const toleranceMs = 10_000;
/** Timeout of the programs, in milliseconds. */
const limitMs = 20_000;
/**
 * A FILETIME counts units of 100 ns since 1601:
 * https://learn.microsoft.com/windows/win32/api/minwinbase/ns-minwinbase-filetime
 */
const fileTimesPerMs = 10_000;
const unixEpochMs = 11_644_473_600_000;

/** Ends a process and all its descendants. `false`: taskkill could not, or is not there. */
export async function endTree(pid: number): Promise<boolean> {
  return await outputOf('taskkill', taskkillArguments(pid)) !== undefined;
}

/**
 * Without `/F` it asks windows to close, and console programs have no windows:
 * https://learn.microsoft.com/windows-server/administration/windows-commands/taskkill
 */
export function taskkillArguments(pid: number): readonly string[] {
  return ['/PID', String(pid), '/T', '/F'];
}

/** When a process was created, in Unix milliseconds; `undefined`: unknown. */
export async function createdAtMs(pid: number): Promise<number | undefined> {
  // Unlike Get-Process, it shows the processes of other users, too.
  const script = `(Get-CimInstance Win32_Process -Filter 'ProcessId=${pid}').CreationDate.ToFileTimeUtc()`;
  return readFileTime(
    await outputOf('powershell', ['-NoLogo', '-NoProfile', '-NonInteractive', '-Command', script]) ?? '',
  );
}

/** Converts to Unix milliseconds; `undefined` where the text is not a FILETIME. */
export function readFileTime(text: string): number | undefined {
  return /^\d{18}$/.test(text.trim()) ? Math.round(Number(text) / fileTimesPerMs - unixEpochMs) : undefined;
}

/**
 * Whether a process created at that time is the recorded one. An unknown time counts as the same.
 *
 * @param startTime In Unix milliseconds.
 */
export function isSameStart(startTime: string, createdAt: number | undefined): boolean {
  return createdAt === undefined || !/^\d+$/.test(startTime) || Math.abs(Number(startTime) - createdAt) <= toleranceMs;
}

function outputOf(program: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, [...args], { timeout: limitMs, windowsHide: true }, (error, stdout) =>
      resolve(error === null ? stdout : undefined));
  });
}
