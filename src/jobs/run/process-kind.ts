/**
 * Jobs with a process of their own: a text for a shell, or a program with its arguments.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { array, fieldsOf, oneOf, optional, text } from '../../base/parse.ts';
import { byHandling } from '../../process/environment/shell-variables.ts';
import type { Variables } from '../../process/environment/secrets.ts';
import { overlayForTerminal } from '../../process/environment/terminal.ts';
import { sendSignal } from '../../process/identity.ts';
import { withCarrier } from '../../process/launcher/carry.ts';
import type { JobShells } from '../../process/launcher/job-shells.ts';
import type { Starter } from '../../process/launcher/starter.ts';
import { outputWay } from '../../process/output-way.ts';
import { ttyArgv } from '../../process/pty.ts';
import { terminate } from '../../process/terminate.ts';
import type { OutputWay } from '../../protocol/jobs/fields.ts';
import type { JobKind, KindJob, RequestOf } from '../kind.ts';
import { type OwnProgram, programFor } from './program-argv.ts';

export interface ProcessKindOptions {
  readonly jobShells: JobShells;
  /** The environment that every job inherits. */
  readonly inherited: Variables;
  /** Whether the output of a job can go through pipes. */
  readonly hasPipes: boolean;
}

const anyText = text({ allowNul: true });
const argvProgram = fieldsOf({ mode: oneOf('argv'), argv: array(anyText, { max: 1_000_000 }) });
const shellProgram = fieldsOf({ mode: oneOf('shell'), command: anyText, shell: optional(anyText) });

export class ProcessKind implements JobKind<OwnProgram> {
  readonly modes = ['shell', 'argv'] as const;
  readonly hasOwnProcess = true;
  readonly #options: ProcessKindOptions;
  #starter!: Pick<Starter, 'start' | 'withdraw'>;

  constructor(options: ProcessKindOptions) {
    this.#options = options;
  }

  parse(value: unknown, path: string): OwnProgram {
    return (value as { readonly mode?: unknown }).mode === 'argv'
      ? argvProgram(value, path)
      : defined(shellProgram(value, path));
  }

  describe({ program, timeoutSeconds }: RequestOf<OwnProgram>): ReturnType<JobKind['describe']> {
    const length = program.mode === 'argv'
      ? program.argv.reduce((sum, word) => sum + word.length + 8, 0)
      : program.command.length;
    return { program, length, limitSeconds: timeoutSeconds };
  }

  attach({ starter }: Parameters<JobKind['attach']>[0]): void {
    this.#starter = starter;
  }

  async check({ program, tty, output, workdir }: RequestOf<OwnProgram>): Promise<{ output?: OutputWay }> {
    if (tty !== undefined || !this.#options.hasPipes) return {};
    const way = output ?? await outputWay(program, { workdir });
    return way === 'pipe' || output !== undefined ? { output: process.platform === 'linux' ? way : 'file' } : {};
  }

  admit({ program, env }: RequestOf<OwnProgram>): OwnProgram {
    if (program.mode === 'argv') return program;
    return { ...program, ...defined({ shell: this.#options.jobShells.admit(program.shell, env['PATH']) }) };
  }

  start({ id, request: { stdin, tty, output } }: KindJob, request: RequestOf<OwnProgram>, directory: string): void {
    const { program, workdir, env } = request;
    const { jobShells, inherited } = this.#options;
    const argv = programFor(program, { directory, pathOf: (shell) => jobShells.programOf(shell, env['PATH']) });
    if (tty === undefined) {
      return this.#starter.start({
        id, directory, stdin, workdir, env, argv, ...(output === 'pipe' ? { output } : {}),
      });
    }
    // The shells that start the program do not pass on variables whose names a shell cannot have.
    const overlay = { ...byHandling(inherited).foreign, ...overlayForTerminal(inherited, env) };
    const launch = withCarrier({ id, directory, stdin, workdir, env: overlay, argv }, inherited);
    this.#starter.start({ ...launch, argv: ttyArgv(launch.argv, tty) });
  }

  cancelPending({ id }: KindJob): boolean {
    return this.#starter.withdraw(id);
  }

  terminate({ family }: KindJob, options: Parameters<JobKind['terminate']>[1]): Promise<boolean> {
    return terminate(family, options);
  }

  async signal({ leader }: KindJob, name: NodeJS.Signals): Promise<boolean> {
    return leader !== undefined && sendSignal(-leader.pid, name);
  }
}
