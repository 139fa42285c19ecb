/**
 * `sidecar cp`: copies a file to the machine, from it, or on it.
 * @module
 */
import { basename } from 'node:path';
import { type FileInfo, ProblemError, type Sidecar } from '../../client/client.ts';
import { type Command, type Invocation, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { CommandError, UsageError, exitCodes } from '../failure.ts';
import { write } from '../io/streams.ts';
import { localTarget, openLocal, writeLocal } from './local-file.ts';
import { type Progress, startProgress } from './progress.ts';

export const command: Command = defineCommand({
  name: 'cp',
  summary: 'Copy a file to the machine, or from it',
  usage: ['cp [flags] FROM TO'],
  about: `:PATH is a file of the machine: absolute, or relative to the working directory of the server. Any other path
is one of here (./:x where it begins with a colon), and - is stdin or stdout. Where TO is a directory, or ends in a
slash, the file keeps its name in it. The permissions are kept, but for setuid and setgid. There is the old file or the
new one, never a part of it. Directories are not copied: pack them with tar.`,
  options: {},
  settings: connectionSettings,
  arity: { min: 2, max: 2 },
  examples: [
    { line: 'sidecar cp config.json :/srv/app/', what: 'to the machine, into a directory' },
    { line: 'sidecar cp :/var/log/app.log .', what: 'from the machine, to here' },
    { line: 'tar -cz src | sidecar cp - :/tmp/src.tgz', what: 'what a program writes' },
    { line: 'sidecar cp :/tmp/dump.gz - | zcat', what: 'to what reads it' },
    { line: 'sidecar cp :app.conf :app.conf.old', what: 'on the machine' },
  ],
  run,
});

type Place =
  | { readonly at: 'machine' | 'here'; readonly path: string }
  | { readonly at: 'stream' };

interface Source {
  readonly content: AsyncIterable<Uint8Array>;
  /** Of stdin both are unknown. */
  readonly sizeBytes?: number | undefined;
  readonly mode?: number | undefined;
}

/** A new part of an upload is a moment on a fast line, and a sign of life on a slow one. */
const partBytes = 8 * 2 ** 20;
/** What a copy keeps: who runs it must not be given by a copy (setuid). */
const permissionBits = 0o777;

async function run({ args: [from = '', to = ''], config }: Invocation<object>): Promise<number> {
  const [source, target] = [placeOf(from), placeOf(to)];
  if (source.at !== 'machine' && target.at !== 'machine') {
    throw new UsageError('Give a file of the machine as :PATH, as FROM or as TO', 'cp');
  }
  const { sidecar } = await connect(config);
  await copy(sidecar, source, target);
  return exitCodes.ok;
}

function placeOf(word: string): Place {
  if (word === '-') return { at: 'stream' };
  return word.startsWith(':') ? { at: 'machine', path: word.slice(1) || '.' } : { at: 'here', path: word };
}

async function open(sidecar: Sidecar, place: Place): Promise<Source> {
  if (place.at === 'stream') return { content: process.stdin };
  const { path } = place;
  if (place.at === 'here') return openLocal(path);
  const { type, mode } = await sidecar.files.stat(path, { follow: true });
  if (type === 'directory') {
    throw new CommandError(`Cannot copy :${path}: it is a directory, and cp copies single files`, {
      hint: 'Pack it: sidecar exec -- tar -C DIR -cz . >dir.tgz',
    });
  }
  const { body, sizeBytes } = await sidecar.files.read(path);
  return { content: body, sizeBytes, mode: Number.parseInt(mode, 8) };
}

async function copy(sidecar: Sidecar, from: Place, to: Place): Promise<void> {
  const name = from.at === 'stream' ? undefined : basename(from.path);
  const path = await targetOf(sidecar, to, name);
  const { content, sizeBytes, mode } = await open(sidecar, from);
  // Lines of progress would run into what is printed.
  const progress = to.at === 'stream' && process.stdout.isTTY ? silent : startProgress(name ?? 'stdin');
  try {
    if (to.at === 'machine') {
      await sidecar.files.write(path, content, {
        partBytes, ...(mode === undefined ? {} : { mode: (mode & permissionBits).toString(8).padStart(4, '0') }),
        onProgress: (doneBytes, totalBytes) => progress.update(doneBytes, totalBytes ?? sizeBytes),
      });
      return;
    }
    const counted = watched(content, (doneBytes) => progress.update(doneBytes, sizeBytes));
    if (to.at === 'here') await writeLocal(path, counted, (mode ?? 0o666) & permissionBits);
    else for await (const piece of counted) await write(piece);
  } finally {
    progress.end();
  }
}

/** The path of the file itself; `''` for stdout. */
async function targetOf(sidecar: Sidecar, to: Place, name: string | undefined): Promise<string> {
  if (to.at === 'stream') return '';
  if (to.at === 'here') return localTarget(to.path, name ?? '');
  const { path } = to;
  if (!path.endsWith('/') && (await statIfThere(sidecar, path))?.type !== 'directory') return path;
  if (name === undefined) throw new UsageError(`Name the file in :${path}, as stdin has no name`, 'cp');
  return `${path.replace(/\/+$/, '')}/${name}`;
}

async function statIfThere(sidecar: Sidecar, path: string): Promise<FileInfo | undefined> {
  try {
    return await sidecar.files.stat(path, { follow: true });
  } catch (error) {
    if (!(error instanceof ProblemError) || error.code !== 'file_not_found') throw error;
    return undefined;
  }
}

const silent: Progress = { update: () => undefined, end: () => undefined };

async function* watched(
  content: AsyncIterable<Uint8Array>, onProgress: (doneBytes: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let doneBytes = 0;
  for await (const piece of content) {
    yield piece;
    doneBytes += piece.length;
    onProgress(doneBytes);
  }
}
