/**
 * Checks the messages of the server on the WebSocket of a terminal.
 * @module
 */
import { type Fields, fieldsOf } from '../../base/loose.ts';
import type { ServerMessage } from '../../protocol/terminals.ts';
import { badAnswer } from '../transport/failure.ts';

/**
 * A message of the server on the WebSocket of a terminal, without its NUL.
 * `undefined`: of a type that this version does not know.
 */
export function terminalMessage(text: string, from: string): ServerMessage | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badAnswer(from, 'expected JSON behind a NUL', error);
  }
  const fields = fieldsOf(value);
  if (!messageTypes.includes(String(fields['type']))) return undefined;
  if (!isMessage(fields)) throw badAnswer(from, `a message "${String(fields['type'])}" is not complete`);
  return fields;
}

const messageTypes: readonly string[] = [
  'pong', 'error', 'attached', 'skipped', 'exit',
] satisfies readonly ServerMessage['type'][];

function isMessage(fields: unknown): fields is ServerMessage {
  const { type, offset, end, exitCode, message } = fields as Fields;
  switch (type) {
    case 'attached': return Number.isSafeInteger(offset) && Number.isSafeInteger(end);
    case 'skipped': return Number.isSafeInteger(offset);
    case 'exit': return Number.isSafeInteger(exitCode);
    case 'error': return typeof message === 'string';
    default: return true;
  }
}
