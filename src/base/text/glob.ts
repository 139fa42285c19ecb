/**
 * Matches patterns with `*`, `**` and `?`. Pure. Takes time in proportion to the text, whatever the pattern.
 * @module
 */

/** The characters that `*` and `?` match; `**` matches any. */
export type Alphabet = (character: string) => boolean;

type Token =
  | { readonly type: 'single' | 'repeated'; readonly matches: Alphabet }
  /** The next `next` tokens may be left out. */
  | { readonly type: 'optional'; readonly next: number };

const anything: Alphabet = () => true;

/** Any character, for a text that is one word. */
export const inText: Alphabet = anything;
/** The characters of a name in a path. */
export const inName: Alphabet = (character) => character !== '/';
/**
 * Characters without a special meaning to a shell (POSIX, Shell Command Language 2.2): no operators, expansions,
 * newlines. Quotes are included, because they only group.
 */
export const inCommand: Alphabet = (character) => !';&|<>()$`\n\r\\'.includes(character);

/** @returns a test whether a whole text matches. */
export function glob(pattern: string, alphabet: Alphabet): (text: string) => boolean {
  const tokens = tokensOf(pattern, alphabet);
  return (text) => {
    let states = reach(tokens, new Set([0]));
    for (const character of text) {
      const next = new Set<number>();
      for (const state of states) {
        const token = tokens[state];
        if (token === undefined || token.type === 'optional' || !token.matches(character)) continue;
        next.add(token.type === 'repeated' ? state : state + 1);
      }
      if (next.size === 0) return false;
      states = reach(tokens, next);
    }
    return states.has(tokens.length);
  };
}

function tokensOf(pattern: string, alphabet: Alphabet): readonly Token[] {
  return (pattern.match(/\*\*\/|\*\*|[^]/gu) ?? []).flatMap((part): readonly Token[] => {
    const literal = (character: string): Token => ({ type: 'single', matches: (one) => one === character });
    // `a/**/b` also matches `a/b`.
    if (part === '**/') return [{ type: 'optional', next: 2 }, { type: 'repeated', matches: anything }, literal('/')];
    if (part === '**') return [{ type: 'repeated', matches: anything }];
    if (part === '*') return [{ type: 'repeated', matches: alphabet }];
    if (part === '?') return [{ type: 'single', matches: alphabet }];
    return [literal(part)];
  });
}

/** Adds the states that are reached without a character. */
function reach(tokens: readonly Token[], states: Set<number>): Set<number> {
  // Iteration over a set includes what is added meanwhile.
  for (const state of states) {
    const token = tokens[state];
    if (token === undefined || token.type === 'single') continue;
    states.add(state + 1);
    if (token.type === 'optional') states.add(state + 1 + token.next);
  }
  return states;
}
