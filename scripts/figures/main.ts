/**
 * Prints figures about the sources, one a line, with what is aimed for beside it.
 *
 *     npm run figures
 *
 * @module
 */
import { fileURLToPath } from 'node:url';
import { measure } from './measure.ts';

const figures = measure(fileURLToPath(new URL('../../', import.meta.url)));
const widthOf = (cells: readonly string[]): number => Math.max(...cells.map((cell) => cell.length));
const nameWidth = widthOf(figures.map(({ name }) => name));
const valueWidth = widthOf(figures.map(({ value }) => value));
for (const { name, value, aim } of figures) {
  console.log(`${name.padEnd(nameWidth)}  ${value.padEnd(valueWidth)}  aim: ${aim}`);
}
