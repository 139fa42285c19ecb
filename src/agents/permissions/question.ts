/**
 * Reads the question of a `session/request_permission` from what real agents send: each puts its parts elsewhere.
 * @module
 */
import { createHash } from 'node:crypto';
import { defined } from '../../base/defined.ts';
import { type Fields, fieldsOf, isFields, listOf, textOf } from '../../base/loose.ts';
import { shellWord } from '../../base/text/shell-word.ts';
import { displayText, truncate } from '../../base/text/truncate.ts';
import { readingKinds } from '../../protocol/agents/permission-policy.ts';
import { asPath, listOrOne, pathsInPatch, pathsUnder } from './path-shapes.ts';
import { type PermissionQuestion, isKnownKind } from './policy.ts';
import { canonical, isCommandName, isHarmless, isPathName, plain, textsIn } from './raw-input.ts';

/** Fields that hold a program with its arguments as words. */
const wordsFields = new Set(['argv', 'args']);
/** Fields with the arguments of a command that is one word. */
const argumentFields = new Set(['args', 'arguments', 'argv', 'params', 'parameters']);
/** Fields whose text may be JSON, as models write it. */
const jsonFields = new Set([...argumentFields, 'input', 'rawinput', 'toolinput', 'payload', 'kwargs']);
/** Fields with a path in each key. */
const changesFields = new Set(['changes', 'files']);
/** Fields with a patch, read if no other field of the object names a path. */
const patchFields = /(?:patch|diff|input)$/;
/** Shells that come with a system: another program of the same name may do anything. */
const binaries = String.raw`\/(?:usr\/(?:local\/)?)?bin\/|\/opt\/homebrew\/bin\/|\/run\/current-system\/sw\/bin\/`;
const shell = new RegExp(`^(?:${binaries})?(?:sh|bash|zsh|dash|ksh|fish)$`);
/** Limit of the name of an option. */
const maxNameCharacters = 200;
/** Deeper levels are not examined: see {@link isTooDeep}. */
const maxDepth = 16;

/** What a tool call says of itself. A title that may stand for a command is not a command yet. */
export interface ToolCallReport extends PermissionQuestion {
  /** The latest first. */
  readonly titles: readonly string[];
  /** Raw inputs that are not fully understood: as JSON or, for a known kind, which they do not change, as a hash. */
  readonly inputs: readonly string[];
  /** Whether the call shows what it writes. */
  readonly isWriting: boolean;
}

/** Fields may be missing, or be of another type. @param params The parameters of the request. */
export function questionOf(params: unknown): PermissionQuestion {
  return toQuestion(readToolCall(params));
}

export function readToolCall(params: unknown): ToolCallReport {
  const { toolCall, options } = fieldsOf(params);
  const call = fieldsOf(toolCall);
  const input = rawInputOf(call);
  const raw = rawOf(input, maxDepth);
  const kind = kindOf(call['kind']);
  const diffs = listOrOne(call['content']).flatMap(diffPath);
  const paths = distinct([...listOrOne(call['locations']).map(locationPath), ...diffs, ...raw.paths].flatMap(asPath));
  const commands = distinct(raw.commands);
  return {
    kind, paths, commands,
    tools: [call['name'], call['title']].flatMap((one) => textOf(one) ?? []),
    titles: titleAsCommand(call['title']),
    inputs: commands.length > 0 ? [] : unclearInput(input, kind, paths.length > 0),
    isWriting: diffs.length > 0,
    parts: distinct(raw.parts),
    options: listOf(options).flatMap((option) => {
      const { optionId, kind, name } = fieldsOf(option);
      if (typeof optionId !== 'string' || typeof kind !== 'string') return [];
      const named = textOf(name);
      return [{ optionId, kind, ...defined({ name: named && truncate(named, maxNameCharacters) }) }];
    }),
  };
}

/** The part of the input that is not understood, in the form of {@link ToolCallReport.inputs}. */
function unclearInput(input: unknown, kind: string, isFile: boolean): readonly string[] {
  const isEmpty = typeof input !== 'object' || input === null || Object.keys(input).length === 0;
  if (isEmpty || isDeeper(input, maxDepth)) return [];
  if (isKnownKind(kind) && kind !== 'execute') {
    return isFile ? [] : [createHash('sha256').update(canonical(input)).digest('base64')];
  }
  const isClear = kind === 'execute' ? isHarmless(input, false) : isFile && isHarmless(input, true);
  return isClear ? [] : [canonical(input)];
}

/**
 * The question of a tool call. A title is the command only if no raw input names one (gemini has it nowhere else), and
 * then only the latest title: agents call a tool "Terminal" or "bash" first. The other titles of a command are parts.
 * The input of a tool of unknown kind counts as a command, as JSON, unless nothing in it can be one.
 */
export function toQuestion({ titles, inputs, isWriting, ...call }: ToolCallReport): PermissionQuestion {
  const { kind, paths } = call;
  const isOther = !isKnownKind(kind);
  const isExecute = kind === 'execute' || (isOther && isCommandName(kind));
  if (!isOther && !isExecute && call.commands.length === 0) {
    const named = { ...call, kind: isWriting && readingKinds.includes(kind) ? 'edit' : kind };
    return paths.length > 0 || inputs.length === 0 ? named : { ...named, inputs };
  }
  const reported = [...call.commands, ...inputs.filter((input) => /^[[{]/.test(input))];
  const isTitle = isExecute && reported.length === 0;
  const commands = isTitle ? titles.slice(0, 1) : reported;
  if (!isExecute && commands.length === 0 && paths.length > 0) return call;
  const isUnclear = isOther && call.commands.length === 0 && isExecute === (commands.length === 0);
  const texts = [...call.parts, ...titles, ...inputs.flatMap((input) => textsIn(input, maxDepth))];
  const parts = distinct(texts).filter((one) => !commands.includes(one));
  return { ...call, commands, parts, ...(isUnclear ? { isUnclear } : {}) };
}

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

/** Parses the arguments of a tool: models write them as JSON. */
function parseJson(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}

/** Whether the raw input is so deep that a command or a path in it would be missed. */
export function isTooDeep(params: unknown): boolean {
  return isDeeper(rawInputOf(fieldsOf(fieldsOf(params)['toolCall'])), maxDepth);
}

function isDeeper(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return depth === 0 || Object.entries(value)
    .some(([field, one]) => isDeeper(jsonFields.has(plain(field)) ? parseJson(one) : one, depth - 1));
}

/** The raw input, which some agents call `input`. A list of words is a command. */
function rawInputOf({ rawInput, input, kind }: Fields): unknown {
  const given = rawInput ?? input;
  const raw = parseJson(given);
  if (typeof given === 'string' && typeof raw !== 'object') return inputOfText(given, kind);
  return Array.isArray(raw) && raw.every((one) => typeof one === 'string') ? { argv: raw as unknown } : raw;
}

/** A text is a patch, else a path or a command, as the kind of the tool says. */
function inputOfText(text: string, kind: unknown): Fields {
  if (pathsInPatch(text).length > 0) return { patch: text };
  const isAboutFiles = ['read', 'edit', 'delete', 'move', 'search'].includes(kindOf(kind));
  return isAboutFiles ? { path: text } : { command: text };
}

function kindOf(kind: unknown): string {
  return textOf(kind)?.trim().toLowerCase() ?? 'other';
}

interface Named {
  readonly paths: readonly unknown[];
  readonly commands: readonly string[];
  /** Commands that describe another one. */
  readonly parts: readonly string[];
}

/** A field: its normalized name, its value, and its original name. */
type NamedField = readonly [name: string, value: unknown, original: string];

/** Tools have inputs of any shape: the meaning of a field follows from its name. */
function rawOf(value: unknown, depth: number): Named {
  if (depth === 0 || typeof value !== 'object' || value === null) return { paths: [], commands: [], parts: [] };
  const fields = Array.isArray(value) ? value.map((one: unknown): NamedField => ['', one, ''])
    : Object.entries(value).map(([name, one]): NamedField => [plain(name), one, name]);
  const below = fields.map(([name, one]) => rawOf(jsonFields.has(name) ? parseJson(one) : one, depth - 1));
  const paths = fields.map(pathsIn);
  const hasPaths = paths.some(({ length }) => length > 0);
  const patched = hasPaths ? [] : fields.flatMap(([name, one]) => (patchFields.test(name) ? pathsInPatch(one) : []));
  // A command in unknown fields.
  const asObject = fields.flatMap(([, one, original], index) => {
    if (!isFields(one) || !isCommandName(original) || isDeeper(one, depth)) return [];
    return Object.keys(one).length > 0 && below[index]?.commands.length === 0 ? [canonical(one)] : [];
  });
  const own = [...commandsIn(fields, hasPaths), ...asObject];
  // The commands that codex lists beside the command itself: they describe what will run.
  const isPart = (index: number): boolean => {
    const [, one, original = ''] = fields[index] ?? [];
    return own.length > 0 && isListOfObjects(one) && isCommandName(original);
  };
  return {
    paths: [...patched, ...paths.flatMap((some, index) => [...some, ...below[index]?.paths ?? []])],
    commands: [...own, ...below.flatMap(({ commands }, index) => (isPart(index) ? [] : commands))],
    parts: below.flatMap(({ commands, parts }, index) => (isPart(index) ? [...commands, ...parts] : parts)),
  };
}

function pathsIn([name, value]: NamedField): readonly unknown[] {
  if (changesFields.has(name) && !Array.isArray(value) && typeof value === 'object') {
    return Object.keys(fieldsOf(value));
  }
  if (isPathName(name)) return pathsUnder(value);
  return [];
}

/** @param hasPaths Whether there are paths: then `code` is written there, and not run. */
function commandsIn(fields: readonly NamedField[], hasPaths: boolean): readonly string[] {
  const programs = fields.filter(([, value, original]) => isCommandName(original) && !isListOfObjects(value));
  const others = programs.filter(([name, value]) => !name.endsWith('shell')
    || typeof value !== 'string'
    || !shell.test(value));
  const words = fields.flatMap(([name, value]) => (argumentFields.has(name) ? listOf(parseJson(value)) : []));
  const text = fields.flatMap(([name, value]) => (argumentFields.has(name) && parseJson(value) === undefined
    ? textOf(value) ?? []
    : []));
  // The shell that runs a command does not count as another command.
  const commands = (others.length > 0 ? others : programs)
    .flatMap(([name, value]) => (name.endsWith('s') && Array.isArray(value) ? value : [value]))
    .flatMap((command) => commandOf(command, words)).map((command) => [command, ...text].join(' '));
  if (commands.length > 0) return commands;
  const alone = fields.flatMap(([name, value]) =>
    (wordsFields.has(name) ? commandOf(parseJson(value) ?? value, []) : []));
  const code = fields.flatMap(([name, value]) => (name === 'code' && !hasPaths ? commandOf(value, []) : []));
  return [...alone, ...code];
}

/** Codex has such a list in parsed_cmd: each element names its command. */
function isListOfObjects(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isFields);
}

/** A line for a shell, or words; of `bash -lc LINE` only the line. @param args Further words, given separately. */
function commandOf(value: unknown, args: readonly unknown[]): readonly string[] {
  if ((!Array.isArray(value) && typeof value !== 'string') || value.length + args.length === 0) return [];
  if (typeof value === 'string' && args.length === 0) return [value];
  if (value === '') return commandOf(args, []);
  const words = [value, args].flat().map((word: unknown) => displayText(word, Infinity));
  const [program = '', flag = '', line] = words;
  if (words.length === 3 && line !== undefined && shell.test(program) && /^-[a-z]*c$/.test(flag)) return [line];
  return [typeof value === 'string'
    ? [value, ...words.slice(1).map(shellWord)].join(' ')
    : words.map(shellWord).join(' ')];
}

function distinct(all: readonly string[]): readonly string[] {
  return [...new Set(all)];
}
