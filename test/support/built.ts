/** Modules of ours for the programs that a test starts: those that the build has made need no loader. @module */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The programs that the server starts from its package, as paths in it: `dist/agents/runner/main.js`. */
export function ownPrograms(): readonly string[] {
  return readdirSync(join(root, 'dist'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.js'))
    .map((path) => join('dist', path))
    .flatMap((path) => [...readFileSync(join(root, path), 'utf8').matchAll(/\bownProgram\(import\.meta\.url, '([^']+)'\)/g)]
      .map(([, name = '']) => join(dirname(path), `${name}.js`)));
}

/** The URL of a module: `builtModule('base/log')`. */
export function builtModule(path: string): string {
  return new URL(`../../dist/${path}.js`, import.meta.url).href;
}
