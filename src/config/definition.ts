/**
 * What a setting is, and the kinds of settings: a word, a whole number, a duration, a switch …
 * @module
 */
import { secondsIn } from '../base/text/duration.ts';
import {
  type Parser, array, boolean, flag, fromText, integer, number, oneOf, parser, refuse, text,
} from '../base/parse.ts';
import type { Environment } from '../process/environment/secrets.ts';

/** A setting as the table of settings declares it. */
export interface Definition {
  readonly key: string;
  readonly parse: Parser<unknown>;
  /** Parses the value of a flag or a variable. */
  readonly parseText: Parser<unknown>;
  /** A switch has two flags, neither with a value: `--name` and `--no-name`. */
  readonly kind: 'one' | 'many' | 'switch';
  readonly fallback: (context: { environment: Environment }) => unknown;
  /** The fallback as the documentation shows it, if that is not its value. */
  readonly fallbackText?: string;
  readonly description: string;
  readonly variables?: readonly string[];
  readonly isSecret?: boolean;
  /** An address: it is secret if it holds a user, a password or a query. */
  readonly isAddress?: boolean;
  readonly isPath?: boolean;
  /** It has no flag, because `ps` shows flags to all users. */
  readonly hasNoFlag?: boolean;
}

export function flagsOf(name: string, kind: Definition['kind']): readonly string[] {
  return kind === 'switch' ? [name, `no-${name}`] : [name];
}

export function variablesOf(name: string, definition: Definition): readonly string[] {
  return definition.variables ?? [`SIDECAR_${name.toUpperCase().replaceAll('-', '_')}`];
}

export function word(key: string, description: string, fallback?: string): Definition {
  const parse = text({ min: 1 });
  return { key, description, parse, parseText: parse, kind: 'one', fallback: () => fallback };
}

export function path(key: string, description: string): Definition {
  return { ...word(key, description), isPath: true };
}

/** A list of words, each parsed by `read`. */
export function checkedWords(
  key: string, description: string, read: (value: string, path: string) => string,
): Definition {
  const inner = array(text({ min: 1, max: 2048 }), { max: 100 });
  const parse = parser(inner.schema, (value, path) =>
    inner(value, path).map((one, index) => read(one, `${path}[${index}]`)));
  return { key, description, parse, parseText: parse, kind: 'many', fallback: () => [] };
}

export function whole(
  key: string, description: string, fallback: number, bounds: { min: number; max: number },
): Definition {
  const parse = integer(bounds);
  return { key, description, parse, parseText: fromText(parse), kind: 'one', fallback: () => fallback };
}

export function amount(key: string, description: string, fallback: number, max: number): Definition {
  const parse = number({ min: 0, max });
  return { key, description, parse, parseText: fromText(parse), kind: 'one', fallback: () => fallback };
}

export function choice(key: string, description: string, fallback: string, ...choices: string[]): Definition {
  const parse = oneOf(...choices);
  return {
    key, description: `${description} One of ${choices.join(', ')}.`,
    parse, parseText: parse, kind: 'one', fallback: () => fallback,
  };
}

/** Text that `read` parses. */
export function checked(key: string, description: string, read: (value: string, path: string) => string): Definition {
  const inner = text({ min: 1, max: 2048 });
  const parse = parser(inner.schema, (value, path) => read(inner(value, path), path));
  return { key, description, parse, parseText: parse, kind: 'one', fallback: () => undefined };
}

/** A switch. Its flags take no value; its variable is 1, 0, true or false. */
export function onOff(key: string, description: string, fallback: boolean): Definition {
  const parseText = parser(boolean.schema, (value, path) => (typeof value === 'boolean' ? value : flag(value, path)));
  return { key, description, parse: boolean, parseText, kind: 'switch', fallback: () => fallback };
}

/** Seconds as a number, or a time with its unit. */
export function duration(
  key: string, description: string, fallback: string, { min, max }: { min: number; max: number },
): Definition {
  const parse = parser({ type: ['number', 'string'], minimum: min, maximum: max }, (value, path) => {
    const seconds = typeof value === 'string' ? secondsIn(value) : value;
    const isWithin = typeof seconds === 'number' && seconds >= min && seconds <= max;
    return isWithin ? seconds : refuse(path, `a time such as 90, 5m or 6h, from ${min} to ${max} seconds`, value);
  });
  return {
    key, description, parse, parseText: parse, kind: 'one',
    fallback: () => secondsIn(fallback), fallbackText: fallback,
  };
}

/** A {@link duration} that is unlimited by default. */
export function unlimited(key: string, description: string): Definition {
  const { fallbackText: _, ...definition } = duration(key, description, '1', { min: 1, max: 31_536_000 });
  return { ...definition, fallback: () => undefined };
}
