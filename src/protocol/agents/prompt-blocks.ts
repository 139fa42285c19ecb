/**
 * The prompt of an agent: a text, or content blocks of the Agent Client Protocol.
 * @module
 */
import { defined } from '../../base/defined.ts';
import {
  type Parser, array, defining, object, oneOf, optional, parser, refuse, text, ParseError,
} from '../../base/parse.ts';
import { shortText } from './short-text.ts';

/** A part of a prompt: `text` and `resource_link` are always allowed, the others only if the agent supports them. */
export type PromptBlock =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'resource_link'; readonly uri: string; readonly name: string; readonly mimeType?: string }
  /** `data` and `blob` are in base64. */
  | { readonly type: 'image'; readonly data: string; readonly mimeType: string; readonly uri?: string }
  | { readonly type: 'audio'; readonly data: string; readonly mimeType: string }
  | {
    readonly type: 'resource';
    readonly resource: { readonly uri: string; readonly mimeType?: string }
      & ({ readonly text: string } | { readonly blob: string })
  };

export type Prompt = string | readonly PromptBlock[];

/** The largest size of a body. */
const maxCharacters = 2 ** 20;
const content = text({ max: maxCharacters, allowNul: true });
const base64 = text({ min: 1, max: maxCharacters, pattern: /^[A-Za-z0-9+/]+={0,2}$/, expected: 'base64' });
const uri = text({ min: 1, max: 65_536 });

const blocks: { readonly [T in PromptBlock['type']]: Parser<PromptBlock> } = {
  text: object({ type: oneOf('text'), text: content }),
  resource_link: defining(object({
    type: oneOf('resource_link'), uri, name: shortText, mimeType: optional(shortText),
  })),
  image: defining(object({ type: oneOf('image'), data: base64, mimeType: shortText, uri: optional(uri) })),
  audio: object({ type: oneOf('audio'), data: base64, mimeType: shortText }),
  resource: object({ type: oneOf('resource'), resource: resource() }),
};

export const prompt: Parser<Prompt> = eitherTextOr(content, array(union('type', blocks), { min: 1, max: 1000 }));

/** The prompt as blocks; `null`: without a prompt. */
export function promptBlocks(given: Prompt | undefined): readonly PromptBlock[] | null {
  if (given === undefined) return null;
  return typeof given === 'string' ? [{ type: 'text', text: given }] : given;
}

/** The prompt as text, for the job's answers. */
export function promptText(given: Prompt | undefined): string | null {
  return promptBlocks(given)
    ?.map((block) => (block.type === 'text' ? block.text : `[${block.type}]`)).join('\n') ?? null;
}

function resource(): Parser<Extract<PromptBlock, { type: 'resource' }>['resource']> {
  const shape = object({ uri, text: optional(content), blob: optional(base64), mimeType: optional(shortText) });
  return parser(shape.schema, (value, at) => {
    const given = shape(value, at);
    const { text: inText, blob, ...about } = given;
    if (inText !== undefined && blob === undefined) return { ...defined(about), text: inText };
    if (inText === undefined && blob !== undefined) return { ...defined(about), blob };
    throw new ParseError(at, 'expected one of text and blob');
  });
}

/** One of several objects, distinguished by a field. */
function union<T>(field: string, cases: { readonly [name: string]: Parser<T> }): Parser<T> {
  const names = Object.keys(cases).map((name) => `"${name}"`).join(', ');
  return parser({ oneOf: Object.values(cases).map(({ schema }) => schema) }, (value, at) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      refuse(at, `an object with ${field}`, value);
    const name = (value as { readonly [key: string]: unknown })[field];
    const found = typeof name === 'string' && Object.hasOwn(cases, name) ? cases[name] : undefined;
    return found ? found(value, at) : refuse(`${at}.${field}`, `one of ${names}`, name);
  });
}

function eitherTextOr<T>(asText: Parser<string>, other: Parser<T>): Parser<string | T> {
  return parser({ anyOf: [asText.schema, other.schema] }, (value, at) => {
    if (typeof value === 'string') return asText(value, at);
    return Array.isArray(value) ? other(value, at) : refuse(at, 'a string or an array of content blocks', value);
  });
}
