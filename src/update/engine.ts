/**
 * The modules that only an update needs: they are loaded shortly after the start of a server.
 * @module
 */
export { install } from './install.ts';
export { openSource } from './sources/open.ts';
