/**
 * The one-time ticket in a query: browsers cannot send a header with a WebSocket.
 * @module
 */
import { type Parser, ParseError, object, parser } from '../../base/parse.ts';
import { parseQuery } from './target.ts';

type QueryRecord = { readonly [name: string]: unknown };

/** A query with `ticket` in addition to the parameters of `inner`, which does not see it. */
export function withTicket<T>(inner: Parser<T> | undefined): Parser<T> {
  const rest = inner ?? (object({}) as unknown as Parser<T>);
  const { properties = {} } = rest.schema as { properties?: object };
  const ticket = { type: 'string', description: 'A ticket from POST /tickets, in place of the key.' };
  return parser({ ...rest.schema, properties: { ...properties, ticket } }, (value, path) => {
    const { ticket: _ticket, ...others } = value as QueryRecord;
    return rest(others, path);
  });
}

/** The ticket of a query; `undefined` also where the query is malformed. */
export function ticketIn(query: string | undefined): string | undefined {
  if (query === undefined) return undefined;
  try {
    const { ticket } = parseQuery(query, anything) as QueryRecord;
    return typeof ticket === 'string' && ticket !== '' ? ticket : undefined;
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}

const anything: Parser<unknown> = parser({}, (value) => value);
