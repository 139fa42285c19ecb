/**
 * The permissions that an agent was denied, and the number it requested, as its job shows them.
 * @module
 */
import type { PermissionDenial } from '../../protocol/agent-jobs.ts';
import { truncate } from '../../base/truncate.ts';
import type { PermissionQuestion } from './policy.ts';

/** Denials that are shown: the most recent ones. */
const maxDenials = 50;
const maxTexts = 10;
const maxTextCharacters = 300;

export class Denials {
  #asked = 0;
  readonly #denied: PermissionDenial[] = [];

  get asked(): number {
    return this.#asked;
  }

  get denied(): readonly PermissionDenial[] {
    return this.#denied;
  }

  ask(): void {
    this.#asked += 1;
  }

  deny(
    question: PermissionQuestion,
    { turn, reason }: { readonly turn: number; readonly reason: string },
  ): PermissionDenial {
    const { kind, tools, paths, commands } = question;
    const denial = {
      turn,
      kind: cut(kind),
      tools: cutAll(tools),
      paths: cutAll(paths),
      commands: cutAll(commands),
      reason: cut(reason),
      at: Date.now() / 1000,
    };
    this.#denied.push(denial);
    if (this.#denied.length > maxDenials) this.#denied.shift();
    return denial;
  }
}

function cut(text: string): string {
  return truncate(text, maxTextCharacters);
}

function cutAll(texts: readonly string[]): readonly string[] {
  return texts.slice(0, maxTexts).map(cut);
}
