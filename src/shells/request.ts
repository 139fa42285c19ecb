/**
 * What the shells are asked: to have a shell for a session, and to run a job in it.
 * @module
 */
import type { Launch } from '../process/launcher/launch-script.ts';
import type { ShellKind } from '../protocol/shells.ts';

/** The part of a request that is about its persistent shell. */
export interface ShellRequest {
  readonly sessionKey: string;
  /** Absent: the session's own shell, or the best one available. */
  readonly shell?: ShellKind;
  /** `workdir` and `env` start the session if this request is its first. */
  readonly workdir: string;
  readonly env: { readonly [name: string]: string };
  /** From now on run at each start of the shell. */
  readonly bootstrapCommand?: string;
  /** The command is the bootstrap, or has the same effect. */
  readonly isBootstrap: boolean;
  /** Run only in the shell that earlier jobs have used. */
  readonly requireShell?: boolean;
}

/** A job as a persistent shell runs it. */
export interface ShellLaunch extends Pick<Launch, 'id' | 'directory' | 'stdin'> {
  readonly sessionKey: string;
  readonly command: string;
  /** The bootstrap need not run before it. */
  readonly isBootstrap: boolean;
  /** Fail if the shell that earlier jobs have used has ended. */
  readonly requireShell?: boolean;
}
