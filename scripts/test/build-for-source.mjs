/**
 * Makes a test that imports `src/x.ts` load `dist/x.js`, which `npm test` has built: `node --import FILE`. What the
 * code under test starts is then the built program, too, as in production, and needs no loader: that takes half of the
 * processor's time.
 *
 * @module
 */
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';

const source = new URL('../../src/', import.meta.url).href;
const build = new URL('../../dist/', import.meta.url).href;

// Node runs these hooks in a thread of their own, which loads this file once more.
if (isMainThread) register(import.meta.url);

/** A hook of Node: finds the file of an import. */
export async function resolve(specifier, context, next) {
  const url = /^(\.\.?\/|file:)/.test(specifier) ? new URL(specifier, context.parentURL).href : '';
  if (!url.startsWith(source) || !url.endsWith('.ts')) return next(specifier, context);
  return { url: `${build}${url.slice(source.length, -'.ts'.length)}.js`, format: 'module', shortCircuit: true };
}
