/**
 * Programs of this package that run beside the server.
 * @module
 */
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The command that runs a module of ours as a program: Node, the loaders that read its sources, and the path.
 *
 * @param moduleUrl A module in the same folder.
 * @param name The name of the program's module, without its extension.
 */
export function ownProgram(
  moduleUrl: string, name: string,
): { readonly file: string; readonly loaders: readonly string[]; readonly path: string } {
  const here = fileURLToPath(moduleUrl);
  const ending = extname(here);
  return {
    file: process.execPath,
    loaders: ending === '.ts' ? loaders() : [],
    path: join(dirname(here), `${name}${ending}`),
  };
}

/** The loader flags of this process, usable from any directory. A Node that reads sources by itself has none. */
function loaders(): readonly string[] {
  const { execArgv } = process;
  return execArgv.flatMap((word, index) => {
    const [, flag = '', given = execArgv[index + 1] ?? ''] = /^--(import|require|loader)(?:=(.*))?$/.exec(word) ?? [];
    if (flag === '') return [];
    return [`--${flag}`, flag === 'require' || /^[./]/.test(given) ? given : import.meta.resolve(given)];
  });
}
