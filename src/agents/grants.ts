/**
 * What a person allowed in answer to a permission request, so that its files and commands, which the agent then hands to
 * its client, are not asked about a second time. What the policy approves is no grant: the policy decides again.
 * @module
 */
import type { PermissionContext, PermissionQuestion } from './permissions.ts';

interface Grant {
  readonly kind: string;
  /** Real paths. */
  readonly paths: ReadonlySet<string>;
  /** Each may be run once, unless it was allowed for always. */
  readonly commands: Set<string>;
  readonly isAlways: boolean;
}

/** Each holds at most what one question may say. The oldest go. */
const maxGrants = 100;
/** Kinds of tools whose permission to use a path is one to write it: `other` is what an agent that tells no kind has. */
const writingKinds: ReadonlySet<string> = new Set(['edit', 'move', 'other']);

export class Grants {
  #grants: Grant[] = [];

  /** @param isAlways The option allows for always: it then holds for the rest of the conversation, for the same paths and commands. */
  add({ kind, paths, commands }: PermissionQuestion, { realPathOf }: PermissionContext, isAlways: boolean): void {
    const real = paths.flatMap((path) => realPathOf(path) ?? []);
    this.#grants.push({ kind, paths: new Set(real), commands: new Set(commands.map((command) => command.trim())), isAlways });
    if (this.#grants.length > maxGrants) this.#grants.shift();
  }

  /** Nothing was allowed. */
  clear(): void {
    this.#grants = [];
  }

  /** What was allowed once ends with its turn. */
  endTurn(): void {
    this.#grants = this.#grants.filter(({ isAlways }) => isAlways);
  }

  /** Whether what the client is asked to do was allowed before. A command that was allowed once is used up by that. */
  covers({ kind, paths, commands }: PermissionQuestion, context: PermissionContext): boolean {
    const real = paths.map((path) => context.realPathOf(path));
    if (kind === 'execute') return this.#coversCommands(commands, real.length === 0 ? [context.workdir] : real, context.workdir);
    return this.#grants.some((grant) => (kind === 'read' || writingKinds.has(grant.kind)) && grant.kind !== 'execute' && hasAll(grant.paths, real));
  }

  /** In the workdir, or in a directory that the permission named. */
  #coversCommands(commands: readonly string[], directories: readonly (string | undefined)[], workdir: string): boolean {
    const lines = commands.map((command) => command.trim());
    const grant = this.#grants.find((one) => hasAll(one.commands, lines) && hasAll(new Set([...one.paths, workdir]), directories));
    if (grant && !grant.isAlways) for (const line of lines) grant.commands.delete(line);
    return grant !== undefined;
  }
}

function hasAll(set: ReadonlySet<string>, all: readonly (string | undefined)[]): boolean {
  return all.length > 0 && all.every((one) => one !== undefined && set.has(one));
}
