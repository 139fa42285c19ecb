/**
 * Numbers that look random and are the same in each run (Park and Miller, 1988).
 * @module
 */

export function numbersFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}
