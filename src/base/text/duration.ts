/**
 * Times as people write them.
 * @module
 */

const unitSeconds: { readonly [unit: string]: number } = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds in `90`, `1.5`, `90s`, `5m`, `2h`, `1d` or `250ms`; `undefined` for any other text. */
export function secondsIn(text: string): number | undefined {
  const [, amount, unit = 's'] = /^(\d{1,10}(?:\.\d{1,6})?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * (unitSeconds[unit] ?? 1);
}
