/**
 * Select graphic rendition (`CSI … m`, ECMA-48 §8.3.117; colours by ISO 8613-6): the look of the next character. Pure.
 * @module
 */

/** Codes by the property that they set, so that a later code replaces an earlier one: `bold` → `1`. */
export type Graphics = ReadonlyMap<string, string>;

const on: { readonly [code: number]: string } = {
  1: 'bold', 2: 'dim', 3: 'italic', 4: 'underline', 5: 'blink', 6: 'blink', 7: 'inverse', 8: 'hidden', 9: 'struck',
  21: 'underline', 53: 'overline',
};
const off: { readonly [code: number]: readonly string[] } = {
  22: ['bold', 'dim'], 23: ['italic'], 24: ['underline'], 25: ['blink'], 27: ['inverse'], 28: ['hidden'],
  29: ['struck'], 55: ['overline'],
  39: ['foreground'], 49: ['background'], 59: ['underlineColour'],
};
const extended: { readonly [code: number]: string } = { 38: 'foreground', 48: 'background', 58: 'underlineColour' };

/** @param parameters `1;38;5;208`. */
export function applyGraphics(before: Graphics, parameters: string): Graphics {
  const now = new Map(before);
  const words = parameters.split(';');
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? '';
    const code = Number.parseInt(word, 10) || 0;
    const colour = extended[code];
    if (colour !== undefined && !word.includes(':')) {
      // 5;n or 2;r;g;b.
      const length = { 5: 3, 2: 5 }[Number(words[index + 1])] ?? 1;
      if (length > 1 && index + length <= words.length) now.set(colour, words.slice(index, index + length).join(';'));
      index += length - 1;
    } else if (colour !== undefined) now.set(colour, word);
    else applyOne(now, code, word);
  }
  return now;
}

export function graphicsSequence(graphics: Graphics): string {
  return `\x1b[${['0', ...graphics.values()].join(';')}m`;
}

function applyOne(now: Map<string, string>, code: number, word: string): void {
  if (code === 0) return now.clear();
  for (const name of off[code] ?? []) now.delete(name);
  const name = on[code];
  // 4:0 turns the underline off.
  if (name !== undefined && /^\d+:0+$/.test(word)) now.delete(name);
  else if (name !== undefined) now.set(name, word);
  else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) now.set('foreground', word);
  else if ((code >= 40 && code <= 47) || (code >= 100 && code <= 107)) now.set('background', word);
}
