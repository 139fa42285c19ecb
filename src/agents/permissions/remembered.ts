/**
 * Answers of a person that hold for more than one question: of the same kind, with the same commands and paths.
 * @module
 */
import type { RememberScope } from '../../protocol/agents/permission-policy.ts';
import type { PermissionContext, PermissionQuestion } from './policy.ts';

interface RememberedAnswer {
  readonly decision: 'approve' | 'deny';
  readonly scope: RememberScope;
}

/** Answers that are remembered; the oldest are dropped. */
const maxRemembered = 200;

export class RememberedAnswers {
  readonly #answers = new Map<string, RememberedAnswer>();

  add(question: PermissionQuestion, context: PermissionContext, answer: RememberedAnswer): void {
    const key = keyOf(question, context);
    this.#answers.delete(key);
    this.#answers.set(key, answer);
    const [oldest] = this.#answers.keys();
    if (this.#answers.size > maxRemembered && oldest !== undefined) this.#answers.delete(oldest);
  }

  find(question: PermissionQuestion, context: PermissionContext): RememberedAnswer | undefined {
    return this.#answers.get(keyOf(question, context));
  }

  clear(): void {
    this.#answers.clear();
  }

  endTurn(): void {
    for (const [key, { scope }] of this.#answers) if (scope === 'turn') this.#answers.delete(key);
  }
}

/** Compares real paths. A question with neither a command nor a path is compared by its tools and their inputs. */
function keyOf(
  { kind, tools, paths, commands, inputs = [] }: PermissionQuestion,
  { realPathOf }: PermissionContext,
): string {
  const real = paths.map((path) => realPathOf(path) ?? `?${path}`);
  const named = commands.length + real.length === 0 ? [...tools, ...inputs] : [];
  return JSON.stringify([kind, ...[commands, real, named].map((all) => [...new Set(all)].sort())]);
}
