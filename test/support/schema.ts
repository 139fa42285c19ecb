/**
 * Holds an answer against its published JSON Schema, and finds the fields that the schema does not name.
 *
 * @module
 */

type Schema = { readonly [keyword: string]: unknown };

/**
 * @returns what is wrong, a line each. An object may have only the fields that its schema names, unless that says `additionalProperties`.
 * @throws Error for a keyword that this does not know: nothing is passed over.
 */
export function complaints(schema: Schema, value: unknown, at = 'answer'): readonly string[] {
  const { type, enum: words, const: only, anyOf, properties, required, items, additionalProperties, minimum, pattern, description: _, ...unknown } = schema;
  if (Object.keys(unknown).length > 0) throw new Error(`unknown keywords at ${at}: ${Object.keys(unknown).join(', ')}`);
  if (Array.isArray(anyOf)) return best((anyOf as readonly Schema[]).map((one) => complaints(one, value, at)));
  if (Array.isArray(words) && !words.includes(value)) return [`${at}: ${JSON.stringify(value)} is not one of ${JSON.stringify(words)}`];
  if (only !== undefined && only !== value) return [`${at}: ${JSON.stringify(value)} is not ${JSON.stringify(only)}`];
  if (type !== undefined && ![type].flat().some((one) => isOf(String(one), value))) return [`${at}: ${JSON.stringify(value)} is no ${String(type)}`];
  if (typeof pattern === 'string' && typeof value === 'string' && !new RegExp(pattern, 'u').test(value)) return [`${at}: ${JSON.stringify(value)} is not of the form ${pattern}`];
  if (typeof minimum === 'number' && typeof value === 'number' && value < minimum) return [`${at}: ${value} is less than ${minimum}`];
  if (Array.isArray(value)) return items === undefined ? [] : value.flatMap((one, index) => complaints(items as Schema, one, `${at}[${index}]`));
  if (typeof value !== 'object' || value === null || type === undefined) return [];
  const missing = (required as readonly string[] | undefined ?? []).filter((name) => !Object.hasOwn(value, name)).map((name) => `${at}.${name}: missing`);
  return [...missing, ...Object.entries(value).flatMap(([name, field]) => {
    const known = (properties as { readonly [field: string]: Schema } | undefined)?.[name];
    if (known) return complaints(known, field, `${at}.${name}`);
    if (additionalProperties === true) return [];
    return typeof additionalProperties === 'object' ? complaints(additionalProperties as Schema, field, `${at}.${name}`) : [`${at}.${name}: not in the schema`];
  })];
}

function best(all: readonly (readonly string[])[]): readonly string[] {
  return all.reduce((least, one) => (one.length < least.length ? one : least), all[0] ?? []);
}

function isOf(type: string, value: unknown): boolean {
  switch (type) {
    case 'null': return value === null;
    case 'array': return Array.isArray(value);
    case 'object': return typeof value === 'object' && value !== null && !Array.isArray(value);
    case 'integer': return Number.isInteger(value);
    default: return typeof value === type;
  }
}
