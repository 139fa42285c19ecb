/**
 * The messages between a server and its wrapper over Node's IPC. The two may be of different versions: each ignores
 * messages that it does not know, and no existing message may change its meaning.
 *
 * An update, as both see it:
 *
 *     old ──switch──► wrapper ──begin(standby)──► new     new checks whether it could serve
 *                     wrapper ◄──────ready─────── new
 *     old ◄──drain─── wrapper                             old marks each answer as the last on its connection
 *                     wrapper ──────listen──────► new     new accepts too, but does not answer yet
 *                     wrapper ◄────listening───── new
 *                     wrapper ────handingOver───► new     if the wrapper ends now, new takes over by itself
 *     old ◄─handOver─ wrapper                             old stops accepting, answers what it has, releases the jobs
 *     old ─released─► wrapper ─────takeOver─────► new     and then ends with exit code 42
 *                     wrapper ◄─────serving────── new     new has the jobs, and answers
 * @module
 */
import type { FailedAttempt, ReleaseName } from '../versions/version-state.ts';

/** A server exits with this code after it has been replaced; the wrapper continues with the next version. */
export const replacedExitCode = 42;

export type ToServer =
  /** The answer to `hello`. `release` names the server's version among the installed ones. */
  | {
    readonly say: 'begin'; readonly role: 'server' | 'standby';
    readonly release: ReleaseName; readonly wrapperPid: number
  }
  | { readonly say: 'listen' }
  | { readonly say: 'handingOver' }
  | { readonly say: 'takeOver' }
  | { readonly say: 'drain' }
  /** The update in progress has failed: the server continues as before. */
  | { readonly say: 'switchFailed'; readonly reason: string }
  | { readonly say: 'handOver' }
  /** Used instead of SIGTERM, which on Windows ends a process at once. */
  | { readonly say: 'stop' };

export type ToWrapper =
  | { readonly say: 'hello'; readonly version: string }
  | { readonly say: 'ready' }
  | { readonly say: 'listening' }
  | { readonly say: 'serving'; readonly url: string; readonly healthUrl: string }
  | { readonly say: 'released' }
  /** The server was told to stop: its end is intended. */
  | { readonly say: 'stopping' }
  /**
   * Why the server is about to end. `isFinal`: another start would fail in the same way until a person changes
   * something. Default false.
   */
  | { readonly say: 'failed'; readonly reason: string; readonly isFinal?: boolean }
  | { readonly say: 'switch'; readonly version: string }
  | { readonly say: 'note'; readonly attempt: FailedAttempt };

/** Checks only the field `say`: the peer is a program that this one started, or that started this one. */
export function readMessage<M extends ToServer | ToWrapper>(message: unknown): M | undefined {
  const isOurs = typeof message === 'object' && message !== null
    && typeof (message as { say?: unknown }).say === 'string';
  return isOurs ? message as M : undefined;
}
