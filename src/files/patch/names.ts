/**
 * Names of files in a unified diff: https://git-scm.com/docs/diff-format, "core.quotePath" of git-config(1).
 * @module
 */
import { asText } from '../edit/bytes.ts';

export const nothing = '/dev/null';

const letters: { readonly [letter: string]: string } = {
  a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v',
};

/** A name with what may stand behind it: a tab and a time. @param bytes From the name to the end of the line. */
export function nameOf(bytes: string): string {
  const line = bytes.replace(/\r$/, '');
  const quoted = /^"((?:[^"\\]|\\.)*)"/.exec(line)?.[1];
  if (quoted === undefined) return asText(line.replace(/\t.*$/, '').trimEnd());
  return asText(quoted.replaceAll(/\\([0-7]{1,3}|.)/g, (_, code: string) =>
    (/^\d/.test(code) ? String.fromCharCode(Number.parseInt(code, 8) & 0xff) : letters[code] ?? code)));
}

/** Whether `diff -N` gives the file the time 0, which says that there is none. */
export function isOfEpoch(line: string): boolean {
  const [, date, time, zone] = /\t(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.0+)? ([+-]\d{4})\s*$/.exec(line) ?? [];
  return date !== undefined && Date.parse(`${date}T${time}${zone?.replace(/(..)$/, ':$1')}`) === 0;
}

/** git's letters for the two sides; others with `diff.mnemonicPrefix`. */
const side = /^[abciow12]\/(?=.)/;

/** Both names without `a/` and `b/`, where these are no part of them. */
export function withoutSides(old: string, current: string): readonly [old: string, current: string] {
  const [first, second] = [old, current].map((name) => name.replace(side, ''));
  const isSided = (name: string): boolean => name === nothing || side.test(name);
  const isMeant = isSided(old) && isSided(current) && old.slice(0, 2) !== current.slice(0, 2);
  return isMeant ? [first ?? old, second ?? current] : [old, current];
}

/** The names in `diff --git a/x b/x`. `undefined`: they differ, and stand in lines of their own. */
export function namesOfHeader(line: string): readonly [old: string, current: string] | undefined {
  const rest = line.slice('diff --git '.length).replace(/\r$/, '');
  const quoted = /^("(?:[^"\\]|\\.)*"|\S+) ("(?:[^"\\]|\\.)*"|\S+)$/.exec(rest);
  if (quoted?.[1] !== undefined && quoted[2] !== undefined) return withoutSides(nameOf(quoted[1]), nameOf(quoted[2]));
  // A name with blanks is there twice, each as long as the other.
  const [old, current] = [rest.slice(0, (rest.length - 1) / 2), rest.slice((rest.length + 1) / 2)].map(nameOf);
  if (old === undefined || current === undefined) return undefined;
  const names = withoutSides(old, current);
  return names[0] === names[1] ? names : undefined;
}
