/**
 * Programs of this very package that run beside the server.
 * @module
 */
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * What runs a module of ours as a program: Node, what it needs to read sources, and the path.
 *
 * @param moduleUrl Of a module in the same folder.
 * @param name Of the program's module, without what its file ends with.
 */
export function ownProgram(moduleUrl: string, name: string): { readonly file: string; readonly loaders: readonly string[]; readonly path: string } {
  const here = fileURLToPath(moduleUrl);
  const ending = extname(here);
  return { file: process.execPath, loaders: ending === '.ts' ? loaders() : [], path: join(dirname(here), `${name}${ending}`) };
}

/** Sources need what this process was started with to read them, wherever the program starts; Node that reads them by itself needs nothing. */
function loaders(): readonly string[] {
  const { execArgv } = process;
  return execArgv.flatMap((word, index) => {
    const [, flag = '', given = execArgv[index + 1] ?? ''] = /^--(import|require|loader)(?:=(.*))?$/.exec(word) ?? [];
    if (flag === '') return [];
    return [`--${flag}`, flag === 'require' || /^[./]/.test(given) ? given : import.meta.resolve(given)];
  });
}
