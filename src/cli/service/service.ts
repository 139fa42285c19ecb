/**
 * A service as a supervisor of the operating system sees it: a file that describes it, commands that start and stop it,
 * and the meaning of their output. All of it is data and pure functions; `run.ts` and the commands do the rest.
 * @module
 */

/** Name of the service in every supervisor. */
export const serviceName = 'machine-sidecar';

/** `user`: runs as that user, who alone manages it. `system`: runs as root (Windows: LocalSystem). */
export type Scope = 'user' | 'system';

/** The user who installs the service. */
export interface Owner {
  readonly scope: Scope;
  readonly user: string;
  /** -1 on Windows. */
  readonly uid: number;
  readonly home: string;
}

/** The program that the service runs. */
export interface Service {
  /** The absolute path of the program, and its arguments. */
  readonly words: readonly string[];
  /** Contains no secrets: others may read the description of a service. */
  readonly environment: { readonly [name: string]: string };
}

/** One command of the supervisor. */
export interface SupervisorStep {
  readonly program: string;
  readonly args: readonly string[];
  /** What the step is for, if its command does not tell. */
  readonly why?: string;
  /** Set when the service works without this step, though with limits: says what to do after a failure. */
  readonly otherwise?: string;
  /** What to do when the step fails. */
  readonly hint?: string;
  /** Number of attempts, a second apart. Default: one. */
  readonly attempts?: number;
}

/** How a command ended. */
export interface StepResult {
  /** `undefined`: the program is missing, or took too long. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the supervisor reports about the service. */
export interface ServiceState {
  /** In the supervisor's own words. */
  readonly detail: string;
  /** `undefined`: the supervisor does not tell. */
  readonly isRunning: boolean | undefined;
  readonly pid?: number | undefined;
  /** Unix seconds. */
  readonly since?: number | undefined;
}

/** `new`: the service was not installed. `changed`: the service that runs is not the one that should run. */
export type Change = 'new' | 'changed' | 'same';

export interface Supervisor {
  readonly name: string;
  readonly encoding: 'utf8' | 'utf16le';
  /** Path of the file that describes the service. */
  readonly file: (owner: Owner) => string;
  /** @throws RangeError for a word that cannot be written in that file. */
  readonly describe: (service: Service, owner: Owner) => string;
  /** The words of the service in a description: the inverse of `describe`. */
  readonly words: (content: string) => readonly string[];
  /** Steps after the file was written. */
  readonly start: (owner: Owner, change: Change, file: string) => readonly SupervisorStep[];
  /** Steps before the file is removed. A service that does not run is not a failure. */
  readonly stop: (owner: Owner) => readonly SupervisorStep[];
  /** Steps after the file was removed. */
  readonly afterRemoval: (owner: Owner) => readonly SupervisorStep[];
  readonly query: (owner: Owner) => SupervisorStep;
  readonly state: (outcome: StepResult) => ServiceState;
  /** The command that shows the log of the service; `undefined`: there is no log. */
  readonly logs: (owner: Owner) => string | undefined;
}

/** The value of a flag among the words of a service. */
export function flagIn(words: readonly string[], name: string): string | undefined {
  return words.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3);
}

/** @throws RangeError naming the word: the supervisors' files cannot hold a control character, or change it. */
export function assertNoControlCharacter(word: string): void {
  if (/[\u0000-\u001f\u007f]/.test(word)) throw new RangeError(`${JSON.stringify(word)} holds a control character`);
}
