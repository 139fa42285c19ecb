/**
 * What a `session/request_permission` asks, read from what agents really send: they all tell it in other places.
 * @module
 */
import { fileURLToPath } from 'node:url';
import { shellWord } from '../base/shell-word.ts';
import { beginning, fieldsOf, listOf, shown, textOf } from './lenient.ts';
import type { PermissionQuestion } from './permissions.ts';

/** The names under which agents have a path in the raw input of their tools. */
const pathFields = new Set(['path', 'filepath', 'filename', 'absolutepath', 'abspath', 'directory', 'dir', 'cwd', 'workdir', 'notebookpath', 'targetfile', 'source', 'destination']);
const commandFields = new Set(['command', 'cmd', 'script']);
/** With a path in each key. */
const changesFields = new Set(['changes']);
const shells = new Set(['sh', 'bash', 'zsh', 'dash', 'ksh', 'fish']);
/** Of an option. */
const maxNameCharacters = 200;
/** Deeper is no argument of a tool any more. */
const maxDepth = 5;

/** Anything may be missing, or be of another type. @param params Of the request. */
export function questionOf(params: unknown): PermissionQuestion {
  const { toolCall, options } = fieldsOf(params);
  const call = fieldsOf(toolCall);
  const raw = rawOf(call['rawInput'], maxDepth);
  const kind = textOf(call['kind']) ?? 'other';
  return {
    kind,
    tools: [call['name'], call['title']].flatMap((one) => textOf(one) ?? []),
    paths: distinct([...listOf(call['locations']).map((location) => fieldsOf(location)['path']), ...listOf(call['content']).flatMap(diffPath), ...raw.paths].flatMap(asPath)),
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

function diffPath(content: unknown): readonly unknown[] {
  const { type, path } = fieldsOf(content);
  return type === 'diff' ? [path] : [];
}

/** Tools are described in any shape: what a field is follows from its name. */
function rawOf(value: unknown, depth: number): { readonly paths: readonly unknown[]; readonly commands: readonly string[] } {
  const paths: unknown[] = [];
  const commands: string[] = [];
  const entries = depth === 0 ? [] : Array.isArray(value) ? value.map((one: unknown) => ['', one] as const) : Object.entries(fieldsOf(value));
  for (const [field, one] of entries) {
    const plain = field.toLowerCase().replaceAll(/[_-]/g, '');
    if (pathFields.has(plain) || plain === 'paths' || plain === 'files') paths.push(...(Array.isArray(one) ? one : [one]));
    if (commandFields.has(plain)) commands.push(...commandOf(one));
    if (changesFields.has(plain) && !Array.isArray(one)) paths.push(...Object.keys(fieldsOf(one)));
    if (typeof one !== 'object') continue;
    const below = rawOf(one, depth - 1);
    paths.push(...below.paths);
    commands.push(...below.commands);
  }
  return { paths, commands };
}

/** A line for a shell, or words, of which `bash -lc LINE` is the line. */
function commandOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value)) return [];
  const words = value.map((word: unknown) => shown(word, Infinity));
  const [program = '', flag = '', line] = words;
  if (words.length === 3 && line !== undefined && shells.has(program.replace(/^.*\//, '')) && /^-[a-z]*c$/.test(flag)) return [line];
  return [words.map(shellWord).join(' ')];
}

function asPath(value: unknown): readonly string[] {
  if (typeof value !== 'string' || value === '') return [];
  if (!value.startsWith('file:')) return [value];
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
