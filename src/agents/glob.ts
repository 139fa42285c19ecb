/**
 * Patterns with `*`, `**` and `?`. Pure, and of time in proportion to the text, whatever the pattern.
 * @module
 */

/** What `*` and `?` stand for; `**` stands for all. */
export type Alphabet = (character: string) => boolean;

type Token =
  | { readonly is: 'one' | 'many'; readonly matches: Alphabet }
  /** The next so many may be left out. */
  | { readonly is: 'maybe'; readonly next: number };

const anything: Alphabet = () => true;

/** Anything, in a text that is one word. */
export const inText: Alphabet = anything;
/** What a name in a path consists of. */
export const inName: Alphabet = (character) => character !== '/';
/** What means only itself to a shell (POSIX, Shell Command Language 2.2): no operators, expansions, newlines. Quotes only put together. */
export const inCommand: Alphabet = (character) => !';&|<>()$`\n\r\\'.includes(character);

/** @returns whether the whole text fits. */
export function glob(pattern: string, alphabet: Alphabet): (text: string) => boolean {
  const tokens = tokensOf(pattern, alphabet);
  return (text) => {
    let states = reach(tokens, new Set([0]));
    for (const character of text) {
      const next = new Set<number>();
      for (const state of states) {
        const token = tokens[state];
        if (token === undefined || token.is === 'maybe' || !token.matches(character)) continue;
        next.add(token.is === 'many' ? state : state + 1);
      }
      if (next.size === 0) return false;
      states = reach(tokens, next);
    }
    return states.has(tokens.length);
  };
}

function tokensOf(pattern: string, alphabet: Alphabet): readonly Token[] {
  return (pattern.match(/\*\*\/|\*\*|[^]/gu) ?? []).flatMap((part): readonly Token[] => {
    const literal = (character: string): Token => ({ is: 'one', matches: (one) => one === character });
    // `a/**/b` is `a/b`, too.
    if (part === '**/') return [{ is: 'maybe', next: 2 }, { is: 'many', matches: anything }, literal('/')];
    if (part === '**') return [{ is: 'many', matches: anything }];
    if (part === '*') return [{ is: 'many', matches: alphabet }];
    if (part === '?') return [{ is: 'one', matches: alphabet }];
    return [literal(part)];
  });
}

/** With the states that need no character. */
function reach(tokens: readonly Token[], states: Set<number>): Set<number> {
  // A set is gone through with what is added meanwhile.
  for (const state of states) {
    const token = tokens[state];
    if (token === undefined || token.is === 'one') continue;
    states.add(state + 1);
    if (token.is === 'maybe') states.add(state + 1 + token.next);
  }
  return states;
}
