/**
 * A text such as a name, an id, a path or a pattern.
 * @module
 */
import { text } from '../../base/parse.ts';

export const shortText = text({ min: 1, max: 4096 });
