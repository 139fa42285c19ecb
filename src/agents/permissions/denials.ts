/**
 * The permissions that an agent was denied, and the number it requested, as its job shows them.
 * @module
 */
import { truncate } from '../../base/text/truncate.ts';
import type { PermissionDenial } from '../../protocol/agents/job-details.ts';
import type { PermissionQuestion } from './policy.ts';

/** Denials that are shown: the most recent ones. */
const maxDenials = 50;
const maxTexts = 10;
const maxTextCharacters = 300;

export class Denials {
  #requestCount = 0;
  readonly #latest: PermissionDenial[] = [];

  get requestCount(): number {
    return this.#requestCount;
  }

  get latest(): readonly PermissionDenial[] {
    return this.#latest;
  }

  countRequest(): void {
    this.#requestCount += 1;
  }

  add(
    question: PermissionQuestion,
    { turn, reason }: { readonly turn: number; readonly reason: string },
  ): PermissionDenial {
    const { kind, tools, paths, commands } = question;
    const denial = {
      turn,
      kind: shorten(kind),
      tools: shortenAll(tools),
      paths: shortenAll(paths),
      commands: shortenAll(commands),
      reason: shorten(reason),
      at: Date.now() / 1000,
    };
    this.#latest.push(denial);
    if (this.#latest.length > maxDenials) this.#latest.shift();
    return denial;
  }
}

function shorten(text: string): string {
  return truncate(text, maxTextCharacters);
}

function shortenAll(texts: readonly string[]): readonly string[] {
  return texts.slice(0, maxTexts).map(shorten);
}
