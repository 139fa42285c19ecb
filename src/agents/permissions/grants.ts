/**
 * Permissions that a person has granted to an agent. The files and commands that they name, which the agent then hands
 * to its client, need no second answer. Approvals by the policy are not stored: the policy decides again.
 * @module
 */
import type { PermissionContext, PermissionQuestion } from './policy.ts';

interface Grant {
  readonly kind: string;
  /** Real paths. */
  readonly paths: ReadonlySet<string>;
  /** Each may be run once, unless `isAlways`. */
  readonly commands: Set<string>;
  readonly isAlways: boolean;
}

/** The oldest grants are dropped. Each holds at most what one question may say. */
const maxGrants = 100;
/** Kinds of tools whose permission for a path includes writing. `other` is the kind of an agent that reports none. */
const writingKinds: ReadonlySet<string> = new Set(['edit', 'move', 'other']);

export class Grants {
  #grants: Grant[] = [];

  /**
   * @param isAlways Whether the option allows always: the grant then holds for the rest of the conversation, for the
   * same paths and commands.
   */
  add({ kind, paths, commands }: PermissionQuestion, { realPathOf }: PermissionContext, isAlways: boolean): void {
    const real = paths.flatMap((path) => realPathOf(path) ?? []);
    this.#grants.push({
      kind,
      paths: new Set(real),
      commands: new Set(commands.map((command) => command.trim())),
      isAlways,
    });
    if (this.#grants.length > maxGrants) this.#grants.shift();
  }

  /** Drops all grants. */
  clear(): void {
    this.#grants = [];
  }

  /** Drops the grants of one turn. */
  endTurn(): void {
    this.#grants = this.#grants.filter(({ isAlways }) => isAlways);
  }

  /** Whether a grant covers what the client is asked to do. A command that was allowed once is used up by that. */
  covers({ kind, paths, commands }: PermissionQuestion, context: PermissionContext): boolean {
    const real = paths.map((path) => context.realPathOf(path));
    if (kind === 'execute') {
      return this.#coversCommands(commands, real.length === 0 ? [context.workdir] : real, context.workdir);
    }
    return this.#grants.some((grant) => (kind === 'read' || writingKinds.has(grant.kind))
      && grant.kind !== 'execute'
      && hasAll(grant.paths, real));
  }

  /** The commands must run in the workdir, or in a directory that the permission named. */
  #coversCommands(
    commands: readonly string[],
    directories: readonly (string | undefined)[],
    workdir: string,
  ): boolean {
    const lines = commands.map((command) => command.trim());
    const grant = this.#grants.find((one) => hasAll(one.commands, lines)
      && hasAll(new Set([...one.paths, workdir]), directories));
    if (grant && !grant.isAlways) for (const line of lines) grant.commands.delete(line);
    return grant !== undefined;
  }
}

function hasAll(set: ReadonlySet<string>, all: readonly (string | undefined)[]): boolean {
  return all.length > 0 && all.every((one) => one !== undefined && set.has(one));
}
