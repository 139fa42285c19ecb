/**
 * Jobs in persistent shells.
 * @module
 */
import { defined } from '../base/defined.ts';
import { boolean, fieldsOf, oneOf, optional, text } from '../base/parse.ts';
import type {
  EndOptions, JobKind, KindContext, KindJob, ProgramSummary, RequestCheck, RequestOf,
} from '../jobs/kind.ts';
import { type Outcome, unknownExitCode } from '../jobs/job.ts';
import { terminateMarked } from '../process/terminate.ts';
import type { PersistentProgram } from '../protocol/jobs/exec.ts';
import { type ShellEnded, shellKinds } from '../protocol/shells.ts';
import { requestWarnings } from './request-warnings.ts';
import type { Shells } from './shells.ts';

const anyText = text({ allowNul: true });
const persistentProgram = fieldsOf({
  mode: oneOf('persistent_shell'),
  sessionKey: text({ allowNul: true, max: 16_384 }),
  command: anyText,
  shell: optional(oneOf(...shellKinds)),
  bootstrapCommand: optional(anyText),
  bootstrapCurrentCommand: optional(boolean),
  requireShell: optional(boolean),
});

export class ShellJobKind implements JobKind<PersistentProgram> {
  readonly modes = ['persistent_shell'] as const;
  readonly hasOwnProcess = false;
  readonly #shells: Shells;

  constructor(shells: Shells) {
    this.#shells = shells;
  }

  parse(value: unknown, path: string): PersistentProgram {
    return defined(persistentProgram(value, path));
  }

  describe({ program, timeoutSeconds }: RequestOf<PersistentProgram>): ProgramSummary {
    return { program, length: program.command.length, limitSeconds: timeoutSeconds };
  }

  sessionKeyOf({ program }: RequestOf<PersistentProgram>): string {
    return program.sessionKey;
  }

  attach({ starter, events, jobs }: KindContext): void {
    this.#shells.connect({
      events,
      launch: (launch) => starter.start(launch),
      jobDirectory: (sessionKey, id) => {
        const job = jobs.find(id);
        return job?.request.sessionKey === sessionKey ? jobs.directory(job) : undefined;
      },
      cancelJobs: (sessionKey) => jobs.cancelSession(sessionKey),
    });
  }

  async check(request: RequestOf<PersistentProgram>): Promise<RequestCheck> {
    return { warnings: await requestWarnings(request) };
  }

  /** The program with the shell of its session, which is opened if it does not exist. */
  admit({ program, workdir, env }: RequestOf<PersistentProgram>): PersistentProgram {
    const {
      sessionKey, shell, bootstrapCommand, bootstrapCurrentCommand: isBootstrap = false, requireShell = false,
    } = program;
    const remembered = bootstrapCommand ?? (isBootstrap ? program.command : undefined);
    return { ...program, shell: this.#shells.admit({
      sessionKey, workdir, env, isBootstrap, requireShell,
      ...defined({ shell, bootstrapCommand: remembered }),
    }) };
  }

  start({ id, request: { stdin } }: KindJob, { program }: RequestOf<PersistentProgram>, directory: string): void {
    const { sessionKey, command, bootstrapCurrentCommand: isBootstrap = false, requireShell = false } = program;
    this.#shells.start({ id, directory, stdin, sessionKey, command, isBootstrap, requireShell });
  }

  adopt({ id, request: { sessionKey = '' } }: KindJob, directory: string): boolean {
    this.#shells.adopt({ id, directory, sessionKey });
    return false;
  }

  cancelPending({ id }: KindJob): boolean {
    return this.#shells.withdraw(id);
  }

  terminate({ id }: KindJob, options: EndOptions): Promise<boolean> {
    return this.#shells.end(id, options);
  }

  signal({ id }: KindJob, name: NodeJS.Signals): Promise<boolean> {
    return this.#shells.signal(id, name);
  }

  shellEndedWith({ request: { sessionKey = '' } }: KindJob, directory: string): ShellEnded | undefined {
    return this.#shells.endedWith({ directory, sessionKey });
  }

  /** A job whose exit code is unknown may still be running: the files that report about its shell are gone. */
  async cleanUp({ id, state }: KindJob, options: EndOptions): Promise<void> {
    if (state.is === 'finished' && state.startedAt !== null && hasNoExitCode(state.outcome)) {
      await terminateMarked(id, options);
    }
  }
}

function hasNoExitCode({ exitCode }: Outcome): boolean {
  return exitCode === unknownExitCode;
}
