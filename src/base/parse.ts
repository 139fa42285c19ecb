/**
 * Parsers for outside data. Each checks a value, names the place where it is wrong, and carries its own JSON Schema, so
 * that what is accepted and what is documented cannot differ.
 * @module
 */
import { defined } from './defined.ts';

/** A JSON Schema (2020-12), as OpenAPI 3.1 uses it. */
export type Schema = { readonly [keyword: string]: unknown };

/** Turns outside data into a `T`, or throws {@link ParseError} naming `path`. */
export interface Parser<T> {
  (value: unknown, path: string): T;
  readonly schema: Schema;
  /** The field may be left out of an object. */
  readonly isOptional?: boolean;
  /** `null` is a value of this field; in any other optional field it counts as left out. */
  readonly takesNull?: boolean;
}

export type Parsed<P> = P extends Parser<infer T> ? T : never;

/**
 * The value is not what was expected. The message is fit for the caller: `Cannot read body.x: expected …, received …`.
 */
export class ParseError extends Error {
  override readonly name = 'ParseError';
  readonly path: string;

  constructor(path: string, message: string) {
    super(`Cannot read ${path}: ${message}`);
    this.path = path;
  }
}

/** @throws ParseError always; `expected` names the right kind of value. */
export function refuse(path: string, expected: string, value: unknown): never {
  throw new ParseError(path, `expected ${expected}, received ${describe(value)}`);
}

/** Makes a parser from a check. */
export function parser<T>(schema: Schema, parse: (value: unknown, path: string) => T): Parser<T> {
  return Object.assign((value: unknown, path: string) => parse(value, path), { schema });
}

/** Adds a description for the documentation. */
export function described<T>(description: string, inner: Parser<T>): Parser<T> {
  return Object.assign(parser({ ...inner.schema, description }, inner), traitsOf(inner));
}

function traitsOf(
  { isOptional, takesNull }: Pick<Parser<unknown>, 'isOptional' | 'takesNull'>,
): Pick<Parser<unknown>, 'isOptional' | 'takesNull'> {
  return { ...(isOptional === true ? { isOptional } : {}), ...(takesNull === true ? { takesNull } : {}) };
}

/** A string within bounds, counted in UTF-16 units. NUL is refused unless `allowNul`. */
export function text(
  options: { min?: number; max?: number; allowNul?: boolean; pattern?: RegExp; expected?: string } = {},
): Parser<string> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER, allowNul = false, pattern } = options;
  const expected = options.expected ?? (min > 0 ? 'a string that is not empty' : 'a string');
  const schema: Schema = {
    type: 'string',
    ...(min > 0 ? { minLength: min } : {}),
    ...(max < Number.MAX_SAFE_INTEGER ? { maxLength: max } : {}),
    ...(pattern ? { pattern: pattern.source } : {}),
  };
  return parser(schema, (value, path) => {
    if (typeof value !== 'string' || value.length < min) refuse(path, expected, value);
    if (value.length > max) throw new ParseError(path, `expected at most ${max} characters, received ${value.length}`);
    if (!allowNul && value.includes('\0')) throw new ParseError(path, `expected ${expected} without NUL characters`);
    // A lone surrogate has no UTF-8 form: the system would receive something else than was sent.
    if (value !== '' && /\p{Surrogate}/u.test(value)) throw new ParseError(
      path,
      `expected ${expected}, received a lone surrogate`,
    );
    if (pattern && !pattern.test(value)) refuse(path, expected, value);
    return value;
  });
}

/** A finite number above `above` (or from `min`) to `max`. */
export function number(options: { above?: number; min?: number; max: number; unit?: string }): Parser<number> {
  const { above, min, max, unit } = options;
  const low = above === undefined ? `from ${min ?? 0}` : `above ${above}`;
  const expected = `a number${unit === undefined ? '' : ` of ${unit}`} ${low} to ${max}`;
  const bound = above === undefined ? { minimum: min ?? 0 } : { exclusiveMinimum: above };
  return parser({ type: 'number', ...bound, maximum: max }, (value, path) => {
    if (typeof value !== 'number' || !Number.isFinite(value) || value > max) refuse(path, expected, value);
    if (above === undefined ? value < (min ?? 0) : value <= above) refuse(path, expected, value);
    return value;
  });
}

/** A whole number from `min` to `max`. */
export function integer(options: { min: number; max: number }): Parser<number> {
  const { min, max } = options;
  return parser({ type: 'integer', minimum: min, maximum: max }, (value, path) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      refuse(path, `a whole number from ${min} to ${max}`, value);
    }
    return value;
  });
}

export const boolean: Parser<boolean> = parser({ type: 'boolean' }, (value, path) => {
  if (typeof value !== 'boolean') refuse(path, 'true or false', value);
  return value;
});

/** One of a closed set of words. */
export function oneOf<const T extends string>(...words: readonly T[]): Parser<T> {
  const expected = words.map((word) => `"${word}"`).join(' or ');
  return parser({ type: 'string', enum: words }, (value, path) =>
    words.find((word) => word === value) ?? refuse(path, expected, value));
}

/** A list of `min` to `max` items. */
export function array<T>(item: Parser<T>, options: { min?: number; max: number }): Parser<T[]> {
  const { min = 0, max } = options;
  return parser({ type: 'array', items: item.schema, minItems: min, maxItems: max }, (value, path) => {
    if (!Array.isArray(value)) refuse(path, 'an array', value);
    if (value.length < min || value.length > max) {
      throw new ParseError(path, `expected ${min} to ${max} items, received ${value.length}`);
    }
    const result: T[] = [];
    try {
      for (const entry of value) result.push(item(entry, unnamed));
    } catch (error) {
      if (error instanceof ParseError) item(value[result.length], `${path}[${result.length}]`);
      throw error;
    }
    return result;
  });
}

/** An object used as a map. Keys and values are both checked. The result has no prototype, so no key is special. */
export function record<T>(
  key: Parser<string>,
  item: Parser<T>,
  options: { max: number },
): Parser<{ readonly [key: string]: T }> {
  const schema = {
    type: 'object',
    propertyNames: key.schema,
    additionalProperties: item.schema,
    maxProperties: options.max,
  };
  return parser(schema, (value, path) => {
    const source = plainObject(value, path);
    const names = Object.keys(source);
    if (names.length > options.max) {
      throw new ParseError(path, `expected at most ${options.max} entries, received ${names.length}`);
    }
    const result: { [key: string]: T } = Object.create(null) as { [key: string]: T };
    let last = '';
    try {
      for (const name of names) {
        last = name;
        result[key(name, unnamed)] = item(source[name], unnamed);
      }
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      key(last, `${path} key ${describe(last)}`);
      item(source[last], `${path}.${short(last)}`);
      throw error;
    }
    return result;
  });
}

/** The field may be left out. */
export function optional<T>(inner: Parser<T>): Parser<T | undefined> {
  const parse = parser<T | undefined>(inner.schema, (value, path) =>
    (value === undefined ? undefined : inner(value, path)));
  return Object.assign(parse, traitsOf({ ...inner, isOptional: true }));
}

/** The field may be left out, and an empty string counts as left out. */
export function optionalText<T extends string>(inner: Parser<T>): Parser<T | undefined> {
  const parse = parser<T | undefined>(inner.schema, (value, path) =>
    value === undefined || value === '' ? undefined : inner(value, path));
  return Object.assign(parse, { isOptional: true });
}

/** Also accepts `null`, as a value of its own. */
export function nullable<T>(inner: Parser<T>): Parser<T | null> {
  const parse = parser<T | null>({ anyOf: [inner.schema, { type: 'null' }] }, (value, path) =>
    value === null ? null : inner(value, path));
  return Object.assign(parse, { takesNull: true });
}

/**
 * A placeholder path that no error shows: naming each of 100,000 values costs more than checking it, so only the wrong
 * one is named.
 */
const unnamed = '';

type Shape = { readonly [field: string]: Parser<unknown> };

/**
 * An object with exactly these fields; any other is refused by name. `null` in an optional field counts as left out,
 * unless the field takes `null`.
 */
export function object<S extends Shape>(shape: S): Parser<{ readonly [K in keyof S]: Parsed<S[K]> }> {
  const fields = Object.entries(shape);
  const schema: Schema = {
    type: 'object',
    properties: Object.fromEntries(fields.map(([name, field]) => [name, field.schema])),
    required: fields.filter(([, field]) => field.isOptional !== true).map(([name]) => name),
    additionalProperties: false,
  };
  return parser(schema, (value, path) => {
    const source = plainObject(value, path);
    for (const name of Object.keys(source)) {
      if (!Object.hasOwn(shape, name)) throw new ParseError(
        `${path}.${short(name)}`,
        unknownField(name, Object.keys(shape)),
      );
    }
    const parsed: { [field: string]: unknown } = {};
    for (const [name, field] of fields) {
      const given = Object.hasOwn(source, name) ? source[name] : undefined;
      const isLeftOut = given === null && field.isOptional === true && field.takesNull !== true;
      parsed[name] = field(isLeftOut ? undefined : given, `${path}.${name}`);
    }
    return parsed as { [K in keyof S]: Parsed<S[K]> };
  });
}

/** Without the fields that were left out. */
export function defining<T extends object>(inner: Parser<T>): Parser<{ [K in keyof T]: Exclude<T[K], undefined> }> {
  return parser(inner.schema, (value, path) => defined(inner(value, path)));
}

/** An object of which only these fields matter: a later version of its writer may add others. */
export function fieldsOf<S extends Shape>(shape: S): Parser<{ readonly [K in keyof S]: Parsed<S[K]> }> {
  const exact = object(shape);
  return parser({ ...exact.schema, additionalProperties: true }, (value, path) => {
    const known = Object.entries(plainObject(value, path)).filter(([name]) => Object.hasOwn(shape, name));
    return exact(Object.fromEntries(known), path);
  });
}

/** Parses the JSON content of a file. @throws ParseError where it is not JSON, for example truncated. */
export function fromJson<T>(inner: Parser<T>, content: string, path: string): T {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    throw new ParseError(path, `it is torn or not JSON: ${(error as Error).message}`);
  }
  return inner(value, path);
}

/** A number that arrives as text (a query parameter, a header, an environment variable). */
export function fromText(inner: Parser<number>): Parser<number> {
  return parser(inner.schema, (value, path) => {
    const isNumeral = typeof value === 'string' && /^-?\d{1,17}(\.\d{1,9})?$/.test(value);
    return inner(isNumeral ? Number(value) : value, path);
  });
}

/** A boolean that arrives as text: `1`, `true` or the empty string for yes, `0` or `false` for no. */
export const flag: Parser<boolean> = parser({ type: 'boolean' }, (value, path) => {
  if (value === '' || value === '1' || value === 'true') return true;
  if (value === '0' || value === 'false') return false;
  return refuse(path, '1 or 0', value);
});

/** A parameter that may be given more than once. */
export function repeated<T>(item: Parser<T>, options: { max: number }): Parser<T[]> {
  const list = array(item, options);
  return parser(list.schema, (value, path) => list(Array.isArray(value) ? value : [value], path));
}

/** A short description of the received value, safe to send back. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  return short(typeof value === 'string' ? JSON.stringify(value) : String(value));
}

function plainObject(value: unknown, path: string): { readonly [key: string]: unknown } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(path, 'an object', value);
  return value as { readonly [key: string]: unknown };
}

function unknownField(name: string, known: readonly string[]): string {
  const close = known.find((field) =>
    field.toLowerCase().replaceAll('_', '') === name.toLowerCase().replaceAll(/[-_]/g, ''));
  if (close !== undefined) return `unknown field, did you mean "${close}"?`;
  return `unknown field, expected ${known.length === 0 ? 'none' : `one of ${known.join(', ')}`}`;
}

function short(value: string): string {
  return value.length > 60 ? `${value.slice(0, 57)}...` : value;
}
