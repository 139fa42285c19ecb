/**
 * The kinds of jobs of a server, by the mode of a request.
 * @module
 */
import { refuse } from '../base/parse.ts';
import { type Program, modes } from '../protocol/jobs/exec.ts';
import type { JobKind } from './kind.ts';

export class JobKinds {
  readonly all: readonly JobKind[];
  readonly #byMode: ReadonlyMap<unknown, JobKind>;

  constructor(kinds: readonly JobKind[]) {
    this.all = kinds;
    this.#byMode = new Map(kinds.flatMap((kind) => kind.modes.map((mode) => [mode, kind] as const)));
  }

  /** Parses the program in a record on disk. @throws ParseError */
  parse(value: unknown, path: string): Program {
    const { mode } = value as { readonly mode?: unknown };
    return (this.#byMode.get(mode) ?? refuse(`${path}.mode`, expectedModes, mode)).parse(value, path);
  }

  of({ mode }: Pick<Program, 'mode'>): JobKind {
    const kind = this.#byMode.get(mode);
    if (!kind) throw new Error(`this server runs no jobs of mode ${mode}`);
    return kind;
  }
}

const expectedModes = modes.map((mode) => `"${mode}"`).join(', ').replace(/, ([^,]*)$/, ' or $1');
