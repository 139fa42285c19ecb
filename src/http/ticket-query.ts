/**
 * The one-time ticket in a query, where browsers have to put it: they cannot send a header with a WebSocket.
 * @module
 */
import { type Parser, ParseError, object, parser } from '../base/parse.ts';
import { parseQuery } from './target.ts';

type QueryRecord = { readonly [name: string]: unknown };

/** A query with `ticket` beside what `inner` knows: for `inner` it is not there. */
export function withTicket<T>(inner: Parser<T> | undefined): Parser<T> {
  const rest = inner ?? (object({}) as unknown as Parser<T>);
  const { properties = {} } = rest.schema as { properties?: object };
  const ticket = { type: 'string', description: 'A ticket from POST /tickets, in place of the key.' };
  return parser({ ...rest.schema, properties: { ...properties, ticket } }, (value, path) => {
    const { ticket: _ticket, ...others } = value as QueryRecord;
    return rest(others, path);
  });
}

/** Whether the query has a ticket that holds, which is used up by that. A query that cannot be read has none. */
export function hasTicket(query: string | undefined, tickets: { redeem(ticket: string): boolean } | undefined): boolean {
  if (query === undefined || tickets === undefined) return false;
  try {
    const { ticket } = parseQuery(query, anything) as QueryRecord;
    return typeof ticket === 'string' && tickets.redeem(ticket);
  } catch (error) {
    if (error instanceof ParseError) return false;
    throw error;
  }
}

const anything: Parser<unknown> = parser({}, (value) => value);
