/**
 * What only an update needs, and no start of a server: loaded a moment later.
 * @module
 */
export { install } from './install.ts';
export { openSource } from './sources/open.ts';
