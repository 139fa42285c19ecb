/**
 * A service as a supervisor of the operating system sees it: a file that describes it, commands that start and stop it, and
 * what their output means. All of it is data and pure functions; `run.ts` and the commands do the rest.
 * @module
 */

/** What the service is called everywhere. */
export const serviceName = 'machine-sidecar';

/** `user`: runs as that user, who alone manages it. `system`: runs as root (Windows: LocalSystem). */
export type Scope = 'user' | 'system';

/** Who installs. */
export interface Owner {
  readonly scope: Scope;
  readonly user: string;
  /** -1 on Windows. */
  readonly uid: number;
  readonly home: string;
}

/** What is to run. */
export interface Service {
  /** The program, absolute, and its arguments. */
  readonly words: readonly string[];
  /** Never anything secret: everybody may read what describes a service. */
  readonly environment: { readonly [name: string]: string };
}

/** One command of the supervisor. */
export interface Step {
  readonly program: string;
  readonly args: readonly string[];
  /** What it is for, where its words do not say it. */
  readonly why?: string;
  /** Without it the service works, with less; the text says what to do about it. */
  readonly otherwise?: string;
  /** What to do when it fails. */
  readonly hint?: string;
  /** How often it is tried, a second apart. Default once. */
  readonly attempts?: number;
}

/** How a command ended. */
export interface Outcome {
  /** `undefined`: it is not there, or took too long. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the supervisor says of the service. */
export interface ServiceState {
  /** In its own word. */
  readonly detail: string;
  /** `undefined`: it does not say. */
  readonly isRunning: boolean | undefined;
  readonly pid?: number | undefined;
  /** Unix seconds. */
  readonly since?: number | undefined;
}

/** `new`: it was not installed. `changed`: what runs is not what shall run. */
export type Change = 'new' | 'changed' | 'same';

export interface Supervisor {
  readonly name: string;
  readonly encoding: 'utf8' | 'utf16le';
  /** Where the file is that describes the service. */
  readonly file: (owner: Owner) => string;
  /** @throws RangeError for a word that cannot be written there. */
  readonly describe: (service: Service, owner: Owner) => string;
  /** The words of the service that a file describes: `describe` backwards. */
  readonly words: (content: string) => readonly string[];
  /** After the file was written. */
  readonly start: (owner: Owner, change: Change, file: string) => readonly Step[];
  /** Before the file is removed. A service that does not run is no failure. */
  readonly stop: (owner: Owner) => readonly Step[];
  /** After the file was removed. */
  readonly forget: (owner: Owner) => readonly Step[];
  readonly query: (owner: Owner) => Step;
  readonly state: (outcome: Outcome) => ServiceState;
  /** The command that shows what the service logged; `undefined`: it is kept nowhere. */
  readonly logs: (owner: Owner) => string | undefined;
}

/** The value of a flag among the words of a service. */
export function flagIn(words: readonly string[], name: string): string | undefined {
  return words.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3);
}

/** @throws RangeError naming the word: no supervisor's file can hold it, or shows it as something else. */
export function refuseControl(word: string): void {
  if (/[\u0000-\u001f\u007f]/.test(word)) throw new RangeError(`${JSON.stringify(word)} holds a control character`);
}
