/**
 * Classifies the fields of a raw input by their names, and checks whether it says more than is understood. Pure.
 * @module
 */
import { isFields } from '../../base/loose.ts';

/** Endings of names of fields that hold a path in the raw input of tools: `move_path`, `outputFile`. */
const pathEnding = /(?:path|file|filename|directory|directories|dir|folder|root|uri)s?$/;
const pathFields = new Set(['cwd', 'src', 'source', 'dst', 'dest', 'destination', 'from', 'to', 'target']);
/** Words in names of fields that hold a command or a program. */
const commandWord = new RegExp(`^(?:${[
  'command', 'cmd', 'commandline', 'cmdline', 'script', 'shell', 'bash', 'zsh', 'fish', 'pwsh', 'powershell', 'exec',
  'execute', 'executable', 'program', 'binary', 'entrypoint', 'terminal', 'console', 'python', 'javascript',
  'subprocess',
].join('|')})s?$`);
/** Words that count also at the end of another word, as in `shellcommand`. */
const commandEnding = new RegExp(`(?:${[
  'command', 'cmd', 'commandline', 'cmdline', 'script', 'shell', 'bash', 'zsh', 'exec', 'execute', 'executable',
  'program', 'binary', 'entrypoint',
].join('|')})s?$`);
/** Words that are too short, or too common, for an ending. */
const commandFields = new Set(['sh', 'run', 'eval']);
/** Endings of names that only describe a command. */
const aboutCommand = /(?:ids?|type|description|reason|mode|status|title|policy|amendment)$/;
/** Last words of names of texts that only describe. */
const descriptions = new Set([
  'description', 'instruction', 'instructions', 'explanation', 'reason', 'title', 'id', 'type', 'mode', 'encoding',
  'language',
]);
/** Last words of names of texts that are written to a named file, or searched for in it. */
const written = new Set([
  'content', 'contents', 'code', 'diff', 'patch', 'pattern', 'patterns', 'query', 'glob', 'regex', 'include', 'exclude',
]);

/** The name without case and separators, so that different spellings are equal. */
export function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z]/g, '');
}

export function isPathName(name: string): boolean {
  return pathFields.has(plain(name)) || pathEnding.test(plain(name));
}

/** @param name The name of a field, or the kind of a tool. */
export function isCommandName(name: string): boolean {
  const whole = plain(name);
  if (commandEnding.test(whole) || commandFields.has(whole)) return true;
  return hasCommandWord(name) && !aboutCommand.test(whole) && !isPathName(name);
}

function hasCommandWord(name: string): boolean {
  return wordsOf(name).some((word) => commandWord.test(word) || commandFields.has(word));
}

function wordsOf(name: string): readonly string[] {
  return name.replaceAll(/([a-z])([A-Z])/g, '$1 $2').toLowerCase().split(/[^a-z]+/).filter((word) => word !== '');
}

/** Whether nothing in the value can be run. @param isFile Whether a file is named: texts may be its content. */
export function isHarmless(value: unknown, isFile: boolean, name = ''): boolean {
  if (Array.isArray(value)) return value.every((one) => isHarmless(one, isFile, name));
  const isUnder = (field: string): boolean => field === 'changes' || field === 'files';
  if (isFields(value)) {
    // The name of each field there is a path.
    return Object.entries(value).every(([field, one]) => isHarmless(one, isFile, isUnder(name) ? '' : field));
  }
  if (value === '' || value === null || typeof value === 'boolean') return true;
  if (hasCommandWord(name)) return false;
  if (typeof value !== 'string') return true;
  const last = wordsOf(name).at(-1) ?? '';
  const isWritten = written.has(last) || /(?:str|string|text)$/.test(last);
  return isPathName(name) || descriptions.has(last) || (isFile && isWritten);
}

/** JSON that does not depend on the order of fields. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) => {
    return isFields(one) ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1))) : one;
  });
}

/** All texts in the value, also in JSON within a text. */
export function textsIn(value: unknown, depth: number): readonly string[] {
  if (depth === 0) return [];
  if (typeof value === 'string') return [value, ...textsIn(parseNested(value), depth - 1)];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap((one) => textsIn(one, depth - 1));
}

function parseNested(text: string): unknown {
  if (!/^\s*[[{"]/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
