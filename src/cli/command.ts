/**
 * A command as data: dispatch, `--help` and the check of its flags are derived from it.
 * @module
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { defined } from '../base/defined.ts';
import type { Config } from '../config/config.ts';
import { closest } from '../base/text/closest.ts';
import { UsageError } from './failure.ts';

export interface Option {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  /** May be given more than once. */
  readonly multiple?: true;
  /** Name of its value in the help: `SECONDS`. */
  readonly value?: string;
  readonly description: string;
}

export type Options = { readonly [name: string]: Option };

/** The values of flags, typed by their options. */
export type Values<O extends Options> = { readonly [N in keyof O]?: ValueOf<O[N]> | undefined };
type ValueOf<O extends Option> = O['type'] extends 'boolean'
  ? boolean
  : O extends { multiple: true } ? string[] : string;

export interface Invocation<V> {
  readonly values: V;
  /** The positional arguments. */
  readonly args: readonly string[];
  readonly config: Config;
}

export interface CommandDefinition<O extends Options> {
  readonly name: string;
  readonly summary: string;
  /** One usage per line, without the name of the program: `logs [-f] JOB`. */
  readonly usage: readonly string[];
  /** Paragraphs below the usage. */
  readonly about?: string;
  readonly options: O;
  /** Flags that are settings, too: they override the environment and the config file. */
  readonly settings?: Options;
  /** The settings that the help lists. Default: all of them. */
  readonly listedSettings?: readonly string[];
  readonly examples: readonly { readonly line: string; readonly what: string }[];
  /** Number of arguments. Default: none. */
  readonly arity?: { readonly min: number; readonly max: number };
  /** Everything from the first argument on belongs to another command: no flag is parsed there. */
  readonly endsAtArgument?: boolean;
  /** Concerns the program that was called, so it is never handed over to a version that an update has installed. */
  readonly isAboutItself?: true;
  /** Works whether or not its output can be written. */
  readonly isServer?: true;
  /** Resolves with the exit code. */
  readonly run: (invocation: Invocation<Values<O>>) => Promise<number>;
}

/** A command whose own types are checked and erased. */
export interface Command extends Omit<CommandDefinition<Options>, 'run'> {
  readonly run: (invocation: Invocation<Values<Options>>) => Promise<number>;
}

export function defineCommand<const O extends Options>(definition: CommandDefinition<O>): Command {
  // parseCommandLine passes only values of the types that the command's own options name.
  return definition as unknown as Command;
}

/** Flags of every command that talks to a server. */
export const connectionSettings: Options = {
  url: { type: 'string', value: 'URL', description: 'The server to talk to (SIDECAR_URL). Default: the local one' },
  'key-file': {
    type: 'string', value: 'FILE',
    description: 'The file that holds its key. Default: SIDECAR_API_KEY, or the local key',
  },
  'state-dir': {
    type: 'string', value: 'DIR',
    description: 'The state directory of the local server (SIDECAR_STATE_DIR)',
  },
};

const help: Options = { help: { type: 'boolean', short: 'h', description: 'This text' } };

/** All flags of a command, in the order of its help. */
export function allOptions(command: Command): Options {
  return { ...command.options, ...command.settings, ...help };
}

export interface CommandLine {
  readonly values: { readonly [name: string]: string | boolean | (string | boolean)[] | undefined };
  readonly args: readonly string[];
}

/** Connection flags may stand before the command, as with `git -C` and `docker --host`. */
export function leadingFlags(
  words: readonly string[],
): { readonly flags: readonly string[]; readonly rest: readonly string[] } {
  let end = 0;
  for (let word = words[end]; word !== undefined; word = words[end]) {
    const [, name = '', equals] = /^--([\w-]+)(=)?/.exec(word) ?? [];
    if (!Object.hasOwn(connectionSettings, name)) break;
    end += equals === undefined ? 2 : 1;
  }
  return { flags: words.slice(0, end), rest: words.slice(end) };
}

/** @throws UsageError that says what is wrong. */
export function parseCommandLine(command: Command, words: readonly string[]): CommandLine {
  const options = allOptions(command);
  const end = command.endsAtArgument === true ? firstArgument(options, words) : words.length;
  const parsed = withUsageErrors(
    command, () => parseArgs({ args: words.slice(0, end), options: parseArgsOptions(options), allowPositionals: true }),
  );
  const rest = words.slice(end);
  const args = [...parsed.positionals, ...(rest[0] === '--' ? rest.slice(1) : rest)];
  if (parsed.values['help'] !== true) checkArity(command, args);
  return { values: parsed.values, args };
}

/** Index of the first word that is neither a flag nor a flag's value. */
function firstArgument(options: Options, words: readonly string[]): number {
  const { tokens } = parseArgs({
    args: [...words], options: parseArgsOptions(options), strict: false, allowPositionals: true, tokens: true,
  });
  return tokens.find(({ kind }) => kind !== 'option')?.index ?? words.length;
}

function withUsageErrors<T>(command: Command, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    // ERR_PARSE_ARGS_UNKNOWN_OPTION, …_INVALID_OPTION_VALUE: the user's flags are wrong.
    if (!String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS')) throw error;
    const [sentence = 'the flags cannot be read'] = (error as Error).message.split(/\. |\.?\n/);
    throw new UsageError(`${sentence.replace(/\.$/, '')}${suggestion(sentence, command)}`, command.name);
  }
}

function suggestion(sentence: string, command: Command): string {
  const [, typed] = /^Unknown option '--([^']+)'/.exec(sentence) ?? [];
  const meant = typed === undefined ? undefined : closest(typed, Object.keys(allOptions(command)));
  return meant === undefined ? '' : `, did you mean "--${meant}"?`;
}

function checkArity(command: Command, args: readonly string[]): void {
  const { min, max } = command.arity ?? { min: 0, max: 0 };
  if (args.length < min) throw new UsageError(`${command.name} needs more: sidecar ${command.usage[0]}`, command.name);
  if (args.length > max) throw new UsageError(`Unexpected argument "${args[max]}"`, command.name);
}

function parseArgsOptions(options: Options): NonNullable<ParseArgsConfig['options']> {
  return Object.fromEntries(Object.entries(options).map(([name, { type, short, multiple }]) => [
    name, { type, ...defined({ short, multiple }) },
  ]));
}
