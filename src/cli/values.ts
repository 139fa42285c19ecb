/**
 * Reads the values of flags.
 * @module
 */
import { constants } from 'node:os';
import { secondsIn } from '../base/text/duration.ts';
import { type SignalName, signals } from '../client/client.ts';
import { UsageError } from './failure.ts';

/** A key for one request. It must be unique, not secret; `node:crypto` takes as long to load as Node's HTTP. */
export function newKey(): string {
  const parts = [process.pid, performance.timeOrigin + performance.now(), Math.random(), Math.random()];
  return parts.map((part) => part.toString(36).replace('.', '')).join('-');
}

/** Reads the value of a flag, if it was given. @throws UsageError */
export function optional<T>(
  read: (value: string, flag: string) => T, value: string | undefined, flag: string,
): T | undefined {
  return value === undefined ? undefined : read(value, flag);
}

/** Seconds: `90`, `1.5`, `90s`, `5m`, `2h`, `1d`, `250ms`. @throws UsageError */
export function seconds(value: string, flag: string): number {
  const found = secondsIn(value);
  if (found === undefined) {
    throw new UsageError(`Cannot read --${flag}: expected a time such as 90, 5m or 1h, received "${value}"`);
  }
  return found;
}

/** A whole number from `min`. @throws UsageError */
export function wholeNumber(value: string, flag: string, min: number): number {
  const number = /^\d{1,15}$/.test(value) ? Number(value) : NaN;
  if (!(number >= min)) {
    throw new UsageError(`Cannot read --${flag}: expected a whole number from ${min}, received "${value}"`);
  }
  return number;
}

/** Bytes: `4096`, `64k`, `10M`, `1G`, in powers of 1024. @throws UsageError */
export function bytes(value: string, flag: string): number {
  const match = /^(\d{1,15})(?:([kmgt])(?:i?b)?)?$/i.exec(value);
  if (!match) throw new UsageError(`Cannot read --${flag}: expected bytes such as 4096 or 10M, received "${value}"`);
  return Number(match[1]) * 1024 ** (' kmgt'.indexOf(match[2]?.toLowerCase() ?? ' '));
}

/** `NAME=VALUE`, repeated. @throws UsageError */
export function pairs(
  values: readonly string[] | undefined, flag: string,
): { readonly [name: string]: string } | undefined {
  return values && Object.fromEntries(values.map((value) => {
    const equals = value.indexOf('=');
    if (equals < 1) {
      throw new UsageError(`Cannot read --${flag}: expected NAME=VALUE, received "${value.split('=')[0]}"`);
    }
    return [value.slice(0, equals), value.slice(equals + 1)];
  }));
}

/**
 * `NAME=VALUE`, or `NAME` for the value in this environment, as docker takes them; a variable that is not set here is
 * not passed on.
 *
 * @throws UsageError
 */
export function variables(
  values: readonly string[] | undefined, environment: { readonly [name: string]: string },
): { readonly [name: string]: string } | undefined {
  return pairs(values?.flatMap((value) => {
    if (value.includes('=') || value === '') return [value];
    return Object.hasOwn(environment, value) ? [`${value}=${environment[value]}`] : [];
  }), 'env');
}

/** `INT`, `SIGINT` or `2`. @throws UsageError */
export function signalName(value: string, flag: string): SignalName {
  const number = Number(value);
  const word = value.toUpperCase();
  const found = signals.find((name) => name === word || name === `SIG${word}` || constants.signals[name] === number);
  if (!found) {
    throw new UsageError(`Cannot read --${flag}: expected a signal such as TERM, INT or HUP, received "${value}"`);
  }
  return found;
}
