/**
 * Guesses which known word was meant by an unknown one.
 * @module
 */

/** @returns The known word that begins as `word` does, or is at most two typing errors away from it. */
export function closest(word: string, known: readonly string[]): string | undefined {
  const typed = word.toLowerCase();
  const long = known.filter((one) => one.length > 1 && typed.length > 1);
  const beginning = long.find((one) => one.startsWith(typed) || typed.startsWith(one));
  const most = Math.min(2, Math.floor((typed.length + 1) / 3));
  const distances = known.map((one) => ({ one, distance: distanceOf(typed, one) }));
  const [nearest] = distances.filter(({ distance }) => distance <= most)
    .sort((left, right) => left.distance - right.distance);
  if (nearest?.distance === 1) return nearest.one;
  return beginning ?? nearest?.one;
}

/** Edit distance: letters to insert, delete, replace, or swap with the next one (optimal string alignment). */
function distanceOf(left: string, right: string): number {
  const rows = [Array.from({ length: right.length + 1 }, (_, index) => index)];
  const at = (row: number, column: number): number => rows[row]?.[column] ?? Infinity;
  for (let row = 1; row <= left.length; row += 1) {
    const cells = [row];
    rows.push(cells);
    for (let column = 1; column <= right.length; column += 1) {
      const isSame = left[row - 1] === right[column - 1];
      const isSwapped = row > 1 && column > 1
        && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      const replaced = at(row - 1, column - 1) + (isSame ? 0 : 1);
      const swapped = isSwapped ? at(row - 2, column - 2) + 1 : Infinity;
      cells.push(Math.min(at(row - 1, column) + 1, at(row, column - 1) + 1, replaced, swapped));
    }
  }
  return at(left.length, right.length);
}
