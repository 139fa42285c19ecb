/**
 * What a `session/request_permission` asks, read from what agents really send: they all tell it in other places.
 * @module
 */
import { homedir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { shellWord } from '../base/shell-word.ts';
import { beginning, fieldsOf, listOf, shown, textOf } from './lenient.ts';
import type { PermissionQuestion } from './permissions.ts';

/** How the names end under which agents have a path in the raw input of their tools, as in `move_path`, `dirPath`, `outputFile`, and further names. */
const pathEnding = /(?:path|file|filename|directory|directories|dir|folder|root|uri)s?$/;
const pathFields = new Set(['cwd', 'src', 'source', 'dst', 'dest', 'destination', 'from', 'to', 'target']);
const commandEnding = /(?:command|cmd|commandline|script)s?$/;
/** Of a command that is one word. */
const argumentFields = new Set(['args', 'arguments', 'argv']);
/** With a path in each key. */
const changesFields = new Set(['changes']);
/** Those that come with a system: another of the name may be anything. */
const shell = /^(?:\/(?:usr\/(?:local\/)?)?bin\/|\/opt\/homebrew\/bin\/|\/run\/current-system\/sw\/bin\/)?(?:sh|bash|zsh|dash|ksh|fish)$/;
/** Of an option. */
const maxNameCharacters = 200;
/** Deeper is no argument of a tool any more. */
const maxDepth = 5;

/** Anything may be missing, or be of another type. @param params Of the request. */
export function questionOf(params: unknown): PermissionQuestion {
  const { toolCall, options } = fieldsOf(params);
  const call = fieldsOf(toolCall);
  const raw = rawOf(parsed(call['rawInput']), maxDepth);
  const kind = textOf(call['kind'])?.toLowerCase() ?? 'other';
  return {
    kind,
    tools: [call['name'], call['title']].flatMap((one) => textOf(one) ?? []),
    paths: distinct([...listOf(call['locations']).map(locationPath), ...listOf(call['content']).flatMap(diffPath), ...raw.paths].flatMap(asPath)),
    commands: distinct(raw.commands.length === 0 && kind === 'execute' ? titleAsCommand(call['title']) : raw.commands),
    options: listOf(options).flatMap((option) => {
      const { optionId, kind, name } = fieldsOf(option);
      const named = textOf(name);
      return typeof optionId === 'string' && typeof kind === 'string' ? [{ optionId, kind, ...(named === undefined ? {} : { name: beginning(named, maxNameCharacters) }) }] : [];
    }),
  };
}

/** Gemini has the command nowhere else. */
function titleAsCommand(title: unknown): readonly string[] {
  const text = textOf(title);
  return text === undefined ? [] : [text.replace(/^`(.*)`$/s, '$1')];
}

function locationPath(location: unknown): unknown {
  const { path, uri } = fieldsOf(location);
  return typeof location === 'string' ? location : path ?? uri;
}

function diffPath(content: unknown): readonly unknown[] {
  const { type, path } = fieldsOf(content);
  return type === 'diff' ? [path] : [];
}

/** The arguments of a tool as models write them: JSON. */
function parsed(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}

/** Tools are described in any shape: what a field is follows from its name. */
function rawOf(value: unknown, depth: number): { readonly paths: readonly unknown[]; readonly commands: readonly string[] } {
  const paths: unknown[] = [];
  const commands: string[] = [];
  const entries = depth === 0 ? [] : Array.isArray(value) ? value.map((one: unknown) => ['', one] as const) : Object.entries(fieldsOf(value));
  const named = entries.map(([field, one]) => [field.toLowerCase().replaceAll(/[_-]/g, ''), one] as const);
  const words = listOf(named.find(([field, one]) => argumentFields.has(field) && Array.isArray(one))?.[1]);
  for (const [field, one] of named) {
    if (pathFields.has(field) || pathEnding.test(field)) paths.push(...(Array.isArray(one) ? one : [one]));
    if (commandEnding.test(field)) commands.push(...(field.endsWith('s') ? listOf(one) : [one]).flatMap((command) => commandOf(command, words)));
    if (changesFields.has(field) && !Array.isArray(one)) paths.push(...Object.keys(fieldsOf(one)));
    const inside = argumentFields.has(field) ? parsed(one) : one;
    if (typeof inside !== 'object') continue;
    const below = rawOf(inside, depth - 1);
    paths.push(...below.paths);
    commands.push(...below.commands);
  }
  return { paths, commands };
}

/** A line for a shell, or words, of which `bash -lc LINE` is the line. @param args Further words, told apart from it. */
function commandOf(value: unknown, args: readonly unknown[]): readonly string[] {
  if (!Array.isArray(value) && typeof value !== 'string') return [];
  if (typeof value === 'string' && args.length === 0) return [value];
  const words = [value, args].flat().map((word: unknown) => shown(word, Infinity));
  const [program = '', flag = '', line] = words;
  if (words.length === 3 && line !== undefined && shell.test(program) && /^-[a-z]*c$/.test(flag)) return [line];
  return [typeof value === 'string' ? [value, ...words.slice(1).map(shellWord)].join(' ') : words.map(shellWord).join(' ')];
}

function asPath(value: unknown): readonly string[] {
  if (typeof value !== 'string' || value === '') return [];
  // Many tools take it as a shell does.
  if (/^~(?:\/|$)/.test(value)) return [`${homedir()}${value.slice(1)}`];
  if (!/^file:/i.test(value)) return [value];
  try {
    return [fileURLToPath(value)];
  } catch {
    // It names nothing that is in the jail.
    return [`/${value}`];
  }
}

function distinct(all: readonly string[]): readonly string[] {
  return [...new Set(all)];
}
