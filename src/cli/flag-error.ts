/**
 * Rephrases a server's complaint about a request in terms of the command line.
 * @module
 */
import { ProblemError } from '../client/client.ts';
import { UsageError } from './failure.ts';

/** Fields of a request, and where the user gives them on the command line. */
export type FlagNames = { readonly [field: string]: string };

/** @returns The error unchanged when it is not about something the user typed. */
export function toFlagError(error: unknown, givenAs: FlagNames, command: string): unknown {
  if (!(error instanceof ProblemError) || error.code !== 'invalid_request') return error;
  const [start, field = '', dot] = /^Cannot read body\.(\w+)(\.?)/.exec(error.message) ?? [];
  const given = Object.hasOwn(givenAs, field) ? givenAs[field] : undefined;
  if (start === undefined || given === undefined) return error;
  return new UsageError(`Cannot read ${given}${dot === '' ? '' : ' '}${error.message.slice(start.length)}`, command);
}
