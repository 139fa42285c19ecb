/**
 * Servers of the Model Context Protocol, as a request names them for its agent.
 * @module
 */
import { type Parser, array, object, oneOf, optional, parser, record, refuse, text } from '../../base/parse.ts';
import { shortText } from './short-text.ts';

export interface NameValue {
  readonly name: string;
  readonly value: string;
}

/** A server of the Model Context Protocol for the agent to use; one without a type is a program. */
export type McpServer =
  | {
    readonly name: string; readonly command: string;
    readonly args: readonly string[]; readonly env: readonly NameValue[]
  }
  | {
    readonly type: 'http' | 'sse'; readonly name: string;
    readonly url: string; readonly headers: readonly NameValue[]
  };

const nameValue: Parser<NameValue> = object({ name: shortText, value: text({ max: 2 ** 20 }) });
/** A list, as in the protocol, or an object, as in configuration files. */
const nameValues: Parser<readonly NameValue[] | undefined> = optional(parser(
  { anyOf: [array(nameValue, { max: 1000 }).schema, { type: 'object', additionalProperties: { type: 'string' } }] },
  (value, at) => (Array.isArray(value) ? array(nameValue, { max: 1000 })(value, at)
    : Object.entries(record(shortText, text({ max: 2 ** 20 }), { max: 1000 })(value, at))
      .map(([name, given]) => ({ name, value: given }))),
));
const program = object({
  name: shortText, command: shortText, args: optional(array(text({ max: 131_072 }), { max: 1000 })), env: nameValues,
});
const remote = object({
  type: oneOf('http', 'sse'),
  name: shortText,
  url: text({ min: 1, max: 65_536, pattern: /^https?:\/\//, expected: 'an http or https URL' }),
  headers: nameValues,
});
export const mcpServer: Parser<McpServer> = parser({ anyOf: [program.schema, remote.schema] }, (value, at) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(at, 'an object', value);
  if ('type' in value && value.type !== 'stdio') {
    const { headers = [], ...server } = remote(value, at);
    return { ...server, headers };
  }
  // Configuration files of other programs have a type "stdio"; the protocol does not.
  const { type: _, ...given } = value as { readonly type?: unknown };
  const { args = [], env = [], ...server } = program(given, at);
  return { ...server, args, env };
});
