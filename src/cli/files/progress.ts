/**
 * Shows how far a copy is, on a terminal at stderr, if it takes longer than a moment.
 * @module
 */
import { cutToColumns } from '../io/columns.ts';
import { duration, oneLine, size, terminalWidth } from '../io/print.ts';
import { writeStderr } from '../io/streams.ts';

/** Milliseconds after which it shows, and between two changes. */
const firstMs = 1000;
const intervalMs = 200;
/** CSI K, "erase in line" (ECMA-48). */
const eraseLine = '\r\u001b[K';

export interface Progress {
  readonly update: (doneBytes: number, totalBytes: number | undefined) => void;
  /** Removes the line. */
  readonly end: () => void;
}

/**
 * @param name Of the file.
 * @param options.nowMs The clock. @param options.show Shows a line. Default: on stderr, where that is a terminal.
 */
export function startProgress(
  name: string,
  { nowMs = () => performance.now(), show = atTerminal() }: {
    readonly nowMs?: () => number; readonly show?: ((line: string | undefined) => void) | undefined;
  } = {},
): Progress {
  const startedAtMs = nowMs();
  let shownAtMs: number | undefined;
  return {
    update: (doneBytes, totalBytes) => {
      const atMs = nowMs();
      if (show === undefined || atMs - startedAtMs < firstMs || atMs - (shownAtMs ?? -Infinity) < intervalMs) return;
      shownAtMs = atMs;
      show(progressLine(name, { doneBytes, totalBytes, elapsedMs: atMs - startedAtMs }));
    },
    end: () => { if (shownAtMs !== undefined) show?.(undefined); },
  };
}

/** `data.bin  40 %  4.0 MiB of 10.0 MiB  2.0 MiB/s  3.0s left`. */
export function progressLine(
  name: string,
  { doneBytes, totalBytes, elapsedMs }: {
    readonly doneBytes: number; readonly totalBytes: number | undefined; readonly elapsedMs: number;
  },
): string {
  const bytesPerMs = doneBytes / elapsedMs;
  const rate = `${size(Math.round(bytesPerMs * 1000))}/s`;
  // A file may have grown meanwhile.
  if (totalBytes === undefined || doneBytes > totalBytes) return [oneLine(name), size(doneBytes), rate].join('  ');
  const share = totalBytes === 0 ? 100 : Math.floor(100 * doneBytes / totalBytes);
  const rest = bytesPerMs === 0 ? [] : [`${duration((totalBytes - doneBytes) / bytesPerMs)} left`];
  return [oneLine(name), `${share} %`, `${size(doneBytes)} of ${size(totalBytes)}`, rate, ...rest].join('  ');
}

function atTerminal(): ((line: string | undefined) => void) | undefined {
  if (!process.stderr.isTTY) return undefined;
  return (line) => {
    const width = terminalWidth(process.stderr) ?? 80;
    writeStderr(`${eraseLine}${line === undefined ? '' : cutToColumns(line, width - 1)}`);
  };
}
