/**
 * What the server finds, as it is found.
 * @module
 */
import { ParseError } from '../../base/parse.ts';
import { findFiles } from '../../protocol/endpoints/files.ts';
import { type FindRecord, findRecord, type FindRequest } from '../../protocol/files/find.ts';
import { callOf } from '../transport/call.ts';
import { badAnswer } from '../transport/failure.ts';
import { failureOf, open } from '../transport/request.ts';
import type { Transport } from '../transport/transport.ts';

/** The most that a search may take, in milliseconds: so long there may be no news. */
const longestSearchMs = 120_000;

/** @throws ProblemError as `Files.find`. */
export async function* find(
  transport: Transport, request: FindRequest, signal: AbortSignal | undefined,
): AsyncGenerator<FindRecord, void, undefined> {
  const sent = {
    ...callOf(findFiles, { body: request, headers: { Accept: 'application/x-ndjson' }, isRepeatable: true, signal }),
    holdMs: longestSearchMs,
  };
  const { response, scope } = await open(transport, sent);
  const reader = response.body?.getReader();
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  try {
    for (let rest = '', hasEnded = false; !hasEnded;) {
      scope.touch();
      const { done, value } = await reader?.read() ?? { done: true };
      // The caller may take its time.
      scope.rest();
      if (done === true) throw badAnswer(transport.base, 'expected a line that says that it is the end', undefined);
      const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const record of lines.map((line) => recordIn(transport, line))) {
        yield record;
        hasEnded = record.type === 'end';
      }
    }
  } catch (error) {
    throw failureOf(transport, sent, scope, error);
  } finally {
    scope.close();
  }
}

function recordIn(transport: Transport, line: string): FindRecord {
  try {
    return findRecord(JSON.parse(line), 'line');
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof ParseError)) throw error;
    throw badAnswer(transport.base, 'expected a line of what was found', error);
  }
}
