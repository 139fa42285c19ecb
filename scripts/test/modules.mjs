/**
 * Puts the modules of the build into one file for the tests, which import them from it: Node takes half a millisecond
 * to load a module, and a test that starts a server has over three hundred of them. `load-modules.cjs` loads it.
 *
 * Each module becomes a function with the same lines that returns what the module exports: the source maps of the build
 * hold for it, and V8 keeps the code of all modules in one file. The modules import each other in no circle.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Writes the modules of `dist` into the file `modules.cjs` of a folder, unless it has those of this build. */
export function writeModules(dist, folder) {
  const path = join(folder, 'modules.cjs');
  const hash = createHash('sha256').update(readFileSync(fileURLToPath(import.meta.url)))
    .update(readFileSync(join(dist, '.stamp'))).digest('hex');
  if (existsSync(path) && readFileSync(path, 'latin1').endsWith(` ${hash}\n`)) return;
  const names = readdirSync(dist, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.js'))
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => !isProgram(name));
  const modules = names.map((name) => moduleFunction(name, readFileSync(join(dist, name), 'utf8')));
  mkdirSync(folder, { recursive: true });
  for (const old of readdirSync(folder)) if (old.startsWith('code-')) rmSync(join(folder, old), { force: true });
  const text = `'use strict';\n({ $load, $builtin, $import, $url }) => ({\n${ascii(modules.join(''))}});\n// ${hash}\n`;
  // Another run of the tests may be reading it.
  writeFileSync(`${path}.${process.pid}`, text);
  renameSync(`${path}.${process.pid}`, path);
}

/** V8 takes no time to decode ASCII text. */
function ascii(text) {
  return text.replaceAll(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Whether a module is a program, by its name in the build: it waits at its top level, or is a file of one call. */
export function isProgram(name) {
  return name.endsWith('main.js');
}

/** The compiler writes each import and export in one line. */
function moduleFunction(name, source) {
  const exported = [];
  const loaded = (from) => (from.startsWith('.')
    ? `$load(${JSON.stringify(posix.join(posix.dirname(name), from))})`
    : `$builtin(${JSON.stringify(from)})`);
  const code = source
    .replaceAll(/^import ["']([^"']+)["'];/gm, (_all, from) => `${loaded(from)};`)
    .replaceAll(/^import \* as (\w+) from ["']([^"']+)["'];/gm, (_all, all, from) => `const ${all} = ${loaded(from)};`)
    .replaceAll(/^import (\w+) from ["'](node:[^"']+)["'];/gm, (_all, all, from) => `const ${all} = ${loaded(from)};`)
    .replaceAll(/^import (?:(\w+), )?\{([^}]*)\} from ["']([^"']+)["'];/gm, (_all, all, names, from) =>
      `const ${all ?? ''}${all ? ` = ${loaded(from)}, ` : ''}{${names.replaceAll(' as ', ': ')}} = ${loaded(from)};`)
    .replaceAll(/^export \{([^}]*)\} from ["']([^"']+)["'];/gm, (_all, names, from) => {
      exported.push(...wordsIn(names).map(([inner, outer = inner]) => `${outer}: ${loaded(from)}.${inner}`));
      return `${loaded(from)};`;
    })
    .replaceAll(/^export \{([^}]*)\};/gm, (_all, names) => {
      exported.push(...wordsIn(names).map(([inner, outer = inner]) => `${outer}: ${inner}`));
      return '';
    })
    .replaceAll(/^export (?=(?:const|class|function\*?|async function\*?) (\w+))/gm, (_all, word) => {
      exported.push(word);
      return '';
    })
    .replaceAll(/\bimport\(["'](\.[^"']+)["']\)/g, (_all, from) => `Promise.resolve().then(() => ${loaded(from)})`)
    .replaceAll(/\bimport\(/g, '$import(')
    .replaceAll('import.meta.resolve(', '$builtin.resolve(')
    .replaceAll('import.meta.url', `$url('${name}')`)
    .replaceAll(/^\/\/# sourceMappingURL=.*$/gm, '');
  const left = /^(?:import|export)\b.*|\bimport\.meta\b.*/m.exec(code);
  if (left !== null) throw new Error(`Cannot put ${name} into the modules of the tests: ${left[0]}`);
  return `'${name}'() {\n${code}\nreturn { ${exported.join(', ')} }; },\n`;
}

/** `a, b as c` as [['a'], ['b', 'c']]. */
function wordsIn(names) {
  return names.split(',').map((part) => part.trim()).filter((part) => part !== '').map((part) => part.split(' as '));
}
