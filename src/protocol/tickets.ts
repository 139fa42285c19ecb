/**
 * One-time tickets: a page opens a WebSocket with one, as it cannot send the key.
 * @module
 */

import { described } from '../base/parse.ts';
import { number, shape, string } from './answer.ts';

/** The answer to `POST /tickets`. */
export interface Ticket {
  /** 256 random bits in base64url: the value of `?ticket=`, valid once. */
  readonly ticket: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

export const ticket = shape<Ticket>(
  { ticket: string, expiresAt: described('Unix seconds.', number) }, { name: 'a ticket', relies: ['ticket'] },
);
