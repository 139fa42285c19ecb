/**
 * Parsers of answers. Their schemas say what this version of the server sends; their checks are deliberately loose:
 * fields and words that a later server adds are accepted, and fields that it leaves out are not missed. Only what the
 * client itself relies on must be there. The value is returned as it is.
 * @module
 */
import { type Parser, ParseError, type Schema, parser, refuse } from '../base/parse.ts';

/** The field may be absent. */
type Absent<T> = Parser<T> & { readonly isOptional: true };

/** A parser for each field of a type: a field without one does not compile, nor does one of another type. */
export type Fields<T> = { readonly [F in keyof T]-?: object extends Pick<T, F> ? Absent<T[F]> : Parser<T[F]> };

export const string: Parser<string> = ofType({ type: 'string' }, (value) => typeof value === 'string');
export const number: Parser<number> = ofType({ type: 'number' }, (value) => typeof value === 'number');
export const integer: Parser<number> = ofType({ type: 'integer' }, Number.isSafeInteger);
export const count: Parser<number> = ofType({ type: 'integer', minimum: 0 }, Number.isSafeInteger);
export const seconds: Parser<number> = ofType(
  { type: 'number', description: 'Unix seconds' }, (value) => typeof value === 'number',
);
/** An object with any members. */
export const members: Parser<{ readonly [name: string]: unknown }> = ofType(
  { type: 'object', additionalProperties: true }, isObject,
);

/** One of these words, or one that a later server adds. */
export function word<const T extends string>(...words: readonly T[]): Parser<T> {
  return ofType({ type: 'string', enum: words }, (value) => typeof value === 'string');
}

export function only<const T extends string | boolean>(value: T): Parser<T> {
  return ofType({ const: value }, (other) => other === value);
}

/** Anything, described by `schema`. */
export function anything<T = unknown>(schema: Schema): Parser<T> {
  return parser(schema, (value) => value as T);
}

/** @param name For the message. */
export function list<T>(item: Parser<T>, name = 'an array'): Parser<readonly T[]> {
  return parser({ type: 'array', items: item.schema }, (value, path) => {
    if (!Array.isArray(value)) throw new ParseError(path, `expected ${name}`);
    for (const one of value) item(one, path);
    return value as T[];
  });
}

export function mapOf<T>(item: Parser<T>): Parser<{ readonly [name: string]: T }> {
  return ofType({ type: 'object', additionalProperties: item.schema }, isObject);
}

export function orNull<T>(inner: Parser<T>): Parser<T | null> {
  return parser(schemaOrNull(inner.schema), (value, path) => (value === null ? null : inner(value, path)));
}

function schemaOrNull(schema: Schema): Schema {
  const { type, enum: words, description, ...rest } = schema;
  if (typeof type === 'string' && type !== 'array' && type !== 'object') {
    const withNull = Array.isArray(words) ? { enum: [...words as unknown[], null] } : {};
    return { ...schema, type: [type, 'null'], ...withNull };
  }
  return {
    anyOf: [{ ...(type === undefined ? {} : { type }), ...rest }, { type: 'null' }],
    ...(description === undefined ? {} : { description }),
  };
}

export function maybe<T>(inner: Parser<T>): Absent<T> {
  return Object.assign(parser(inner.schema, inner), { isOptional: true as const });
}

/** The `special` one where the value fits it, else the `general` one. */
export function either<A, B>(general: Parser<A>, special: Parser<B>): Parser<A | B> {
  return parser<A | B>({ anyOf: [general.schema, special.schema] }, (value, path) => {
    try {
      return special(value, path);
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      return general(value, path);
    }
  });
}

/** A value that is not an answer of the kind expected. */
class MismatchError extends ParseError {}

/**
 * An object. Its schema has every field of `T`; those that `T` always has are required.
 *
 * @param options.name For the message: `a job`. Default: the message is that of the object around it.
 * @param options.relies The fields that the client needs: these alone are checked.
 */
export function shape<T extends object>(
  fields: Fields<T>, { name, relies = [] }: { readonly name?: string; readonly relies?: readonly (keyof T)[] } = {},
): Parser<T> {
  const entries = Object.entries<Parser<unknown>>(fields);
  const required = entries.filter(([, { isOptional }]) => isOptional !== true).map(([field]) => field);
  const schema: Schema = {
    type: 'object',
    properties: Object.fromEntries(entries.map(([field, { schema: own }]) => [field, own])),
    ...(required.length > 0 ? { required } : {}),
  };
  return parser(schema, (value, path) => {
    const given = isObject(value) ? value as T : refuseAs(name, path, value);
    for (const field of relies) {
      try {
        fields[field](given[field], path);
      } catch (error) {
        if (error instanceof MismatchError || !(error instanceof ParseError)) throw error;
        refuseAs(name, path, given[field]);
      }
    }
    return given;
  });
}

/** {@link orNull} of an object, as one schema. */
export function shapeOrNull<T extends object>(fields: Fields<T>): Parser<T | null> {
  const inner = shape<T>(fields);
  return parser<T | null>({ ...inner.schema, type: ['object', 'null'] }, (value, path) =>
    (value === null ? null : inner(value, path)));
}

function refuseAs(name: string | undefined, path: string, value: unknown): never {
  if (name === undefined) refuse(path, 'an object', value);
  throw new MismatchError(path, `expected ${name}`);
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null;
}

function ofType<T>(schema: Schema, isOne: (value: unknown) => boolean): Parser<T> {
  return parser(schema, (value, path) =>
    (isOne(value) ? value as T : refuse(path, 'another value', value)));
}
