/**
 * What a server and its wrapper say to each other over Node's IPC. The two may be of different versions: what one does not know it passes
 * over, and nothing that is there may change its meaning.
 *
 * An update, as both see it:
 *
 *     old ──switch──► wrapper ──begin(standby)──► new     new looks whether it could serve
 *                     wrapper ◄──────ready─────── new
 *     old ◄──drain─── wrapper                             old says on each answer that it is its last one
 *                     wrapper ──────listen──────► new     new accepts, too, but does not answer yet
 *                     wrapper ◄────listening───── new
 *                     wrapper ────handingOver───► new     should the wrapper go now, new takes over by itself
 *     old ◄─handOver─ wrapper                             old accepts no more, answers what it has, lets go of the jobs
 *     old ─released─► wrapper ─────takeOver─────► new     and then ends with exit code 42
 *                     wrapper ◄─────serving────── new     new has the jobs, and answers
 * @module
 */
import type { FailedAttempt, Release } from './version-state.ts';

/** With this code a server says: I have been replaced, go on with the next version. */
export const replacedExitCode = 42;

export type ToServer =
  /** The answer to `hello`. `release` is the name of the server's version among the installed ones. */
  | { readonly say: 'begin'; readonly role: 'server' | 'standby'; readonly release: Release; readonly wrapperPid: number }
  | { readonly say: 'listen' }
  | { readonly say: 'handingOver' }
  | { readonly say: 'takeOver' }
  | { readonly say: 'drain' }
  /** The update that was under way is not: everything goes on as before. */
  | { readonly say: 'switchFailed'; readonly reason: string }
  | { readonly say: 'handOver' }
  /** In the place of SIGTERM, which on Windows ends a process there and then. */
  | { readonly say: 'stop' };

export type ToWrapper =
  | { readonly say: 'hello'; readonly version: string }
  | { readonly say: 'ready' }
  | { readonly say: 'listening' }
  | { readonly say: 'serving'; readonly url: string; readonly healthUrl: string }
  | { readonly say: 'released' }
  /** Somebody told it to stop: its end is no accident. */
  | { readonly say: 'stopping' }
  /** Why it is about to end. `isFinal`: another start would end the same way until a person changes something. Default false. */
  | { readonly say: 'failed'; readonly reason: string; readonly isFinal?: boolean }
  | { readonly say: 'switch'; readonly version: string }
  | { readonly say: 'note'; readonly attempt: FailedAttempt };

/** Only what it says of itself is looked at: it comes from a program that this one started, or was started by. */
export function readMessage<M extends ToServer | ToWrapper>(message: unknown): M | undefined {
  const isOurs = typeof message === 'object' && message !== null && typeof (message as { say?: unknown }).say === 'string';
  return isOurs ? message as M : undefined;
}
