/**
 * Looks at what an archive has become on the disk, before it takes its place.
 * @module
 */
import { spawn } from 'node:child_process';
import { chmod, lstat, readdir, readlink } from 'node:fs/promises';
import { ProblemError } from '../../protocol/problem.ts';
import { type Flavour, ownEnvironment } from './tar.ts';

export interface Contents {
  readonly files: number;
  readonly directories: number;
  readonly links: number;
  /** Of the files together. */
  readonly sizeBytes: number;
}

const lookMs = 600_000;
const specialBits = 0o7000;

/** For find(1): a letter for the type, and what has to be known of it. */
const printed = [
  '-type', 'd', '-printf', 'd\\0',
  '-o', '-type', 'f', '-perm', '/7000', '-printf', 'm%s\\0%p\\0',
  '-o', '-type', 'f', '-printf', 'f%s\\0',
  '-o', '-type', 'l', '-printf', 'l%p\\0%l\\0',
  '-o', '-printf', 'o%p\\0',
];

/**
 * Counts what is in a directory. Only files, directories and links are accepted; a file that would run as its owner
 * loses that bit.
 *
 * @param options.mayLeadOut Whether a link may lead out of the directory.
 * @throws ProblemError invalid_request for anything else; the system's error.
 */
export async function lookAt(
  directory: string, { kind, mayLeadOut }: { readonly kind: Flavour; readonly mayLeadOut: boolean },
): Promise<Contents> {
  const found = { files: 0, directories: 0, links: 0, sizeBytes: 0 };
  const tokens = kind === 'gnu' ? await findTokens(directory) : await walkTokens(directory);
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at] ?? '';
    const rest = token.slice(1);
    if (token[0] === 'd') {
      found.directories += 1;
    } else if (token[0] === 'f' || token[0] === 'm') {
      found.files += 1;
      found.sizeBytes += Number(rest);
      if (token[0] === 'm') await loseSpecialBits(directory, tokens[at += 1] ?? '');
    } else if (token[0] === 'l') {
      found.links += 1;
      const target = tokens[at += 1] ?? '';
      if (!mayLeadOut && leadsOut(rest, target)) {
        throw refused(`the link ${shown(rest)} leads out of it, to ${shown(target)}`);
      }
    } else {
      throw refused(`${shown(rest)} is a FIFO, a socket or a device`);
    }
  }
  return found;
}

/**
 * Whether a link may lead out of the directory that it was looked at from. `..` is accepted only where a target begins:
 * behind a name, which may be a link, it may lead anywhere.
 *
 * @param path Of the link: `./a/b`.
 */
export function leadsOut(path: string, target: string): boolean {
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  const firstName = parts.findIndex((part) => part !== '..');
  const ups = firstName < 0 ? parts.length : firstName;
  return target.startsWith('/') || parts.slice(ups).includes('..') || ups > path.split('/').length - 2;
}

/** In latin1, as names are bytes. */
async function findTokens(directory: string): Promise<readonly string[]> {
  const child = spawn('find', ['.', '-mindepth', '1', '(', ...printed, ')'], {
    cwd: directory, env: ownEnvironment, stdio: ['ignore', 'pipe', 'ignore'], timeout: lookMs, killSignal: 'SIGKILL',
  });
  const exitCode = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  exitCode.catch(() => undefined);
  const pieces: Buffer[] = [];
  for await (const piece of child.stdout) pieces.push(piece as Buffer);
  if (await exitCode !== 0) throw new ProblemError('file_unusable', 'Cannot unpack: not all of it can be looked at');
  return Buffer.concat(pieces).toString('latin1').split('\0').slice(0, -1);
}

/** The same where find(1) cannot print it. */
async function walkTokens(directory: string, below = '.'): Promise<string[]> {
  const tokens: string[] = [];
  for (const bytes of await readdir(pathOf(directory, below), { encoding: 'buffer' })) {
    const name = `${below}/${bytes.toString('latin1')}`;
    const path = pathOf(directory, name);
    const stats = await lstat(path);
    if (stats.isDirectory()) tokens.push('d', ...await walkTokens(directory, name));
    else if (stats.isSymbolicLink()) {
      tokens.push(`l${name}`, (await readlink(path, { encoding: 'buffer' })).toString('latin1'));
    } else if (!stats.isFile()) tokens.push(`o${name}`);
    else if ((stats.mode & specialBits) !== 0) tokens.push(`m${stats.size}`, name);
    else tokens.push(`f${stats.size}`);
  }
  return tokens;
}

async function loseSpecialBits(directory: string, name: string): Promise<void> {
  const path = pathOf(directory, name);
  await chmod(path, (await lstat(path)).mode & ~specialBits & 0o7777);
}

function pathOf(directory: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(name, 'latin1')]);
}

function shown(name: string): string {
  return JSON.stringify(Buffer.from(name, 'latin1').toString().replace(/^\.\//, ''));
}

function refused(reason: string): ProblemError {
  return new ProblemError('invalid_request', `Cannot unpack: ${reason}`);
}
