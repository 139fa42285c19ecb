/** Modules of ours for the programs that a test starts: those that the build has made need no loader. @module */

/** The URL of a module: `builtModule('base/log')`. */
export function builtModule(path: string): string {
  return new URL(`../../dist/${path}.js`, import.meta.url).href;
}
