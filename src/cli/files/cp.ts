/**
 * `sidecar cp`: copies files and directories to the machine, from it, or on it.
 * @module
 */
import { basename } from 'node:path';
import type { Sidecar } from '../../client/client.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { flavour } from '../../files/archive/tar.ts';
import { connect } from '../connect.ts';
import { UsageError, exitCodes } from '../failure.ts';
import { write } from '../io/streams.ts';
import { copyTree, needsRecursion } from './copy-tree.ts';
import { localTarget, openLocal, writeLocal } from './local-file.ts';
import { isDirectoryHere } from './local-file.ts';
import { type Place, placeOf, statIfThere } from './place.ts';
import { type Progress, startProgress } from './progress.ts';

const options = {
  'recursive': { type: 'boolean', short: 'r', description: 'Copy a directory with all that is in it' },
  'all-links': { type: 'boolean', description: 'With -r: also links that lead out of the directory' },
} as const;

export const command: Command = defineCommand({
  name: 'cp',
  summary: 'Copy files and directories to the machine, or from it',
  usage: ['cp [-r] [flags] FROM TO'],
  about: `:PATH is a file of the machine: absolute, or relative to the working directory of the server. Any other path
is one of here (./:x where it begins with a colon), and - is stdin or stdout. Where TO is a directory, or ends in a
slash, the file keeps its name in it. The permissions are kept, but for setuid and setgid. There is the old file or the
new one, never a part of it. Directories are not copied: pack them with tar.`,
  options,
  settings: connectionSettings,
  arity: { min: 2, max: 2 },
  examples: [
    { line: 'sidecar cp config.json :/srv/app/', what: 'to the machine, into a directory' },
    { line: 'sidecar cp :/var/log/app.log .', what: 'from the machine, to here' },
    { line: 'tar -cz src | sidecar cp - :/tmp/src.tgz', what: 'what a program writes' },
    { line: 'sidecar cp :/tmp/dump.gz - | zcat', what: 'to what reads it' },
    { line: 'sidecar cp :app.conf :app.conf.old', what: 'on the machine' },
    { line: 'sidecar cp -r src :/srv/app', what: 'a directory, which becomes /srv/app, or /srv/app/src' },
    { line: 'sidecar cp -r :/srv/app/. app', what: 'from the machine, what is in the directory' },
    { line: 'sidecar cp -r :/srv/app - | gzip >app.tgz', what: 'as an archive' },
  ],
  run,
});

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

async function run(
  { values, args: [from = '', to = ''], config }: Invocation<Values<typeof options>>,
): Promise<number> {
  const [source, target] = [placeOf(from), placeOf(to)];
  if (source.at !== 'machine' && target.at !== 'machine') {
    throw new UsageError('Give a file of the machine as :PATH, as FROM or as TO', 'cp');
  }
  // tar is looked for while the server is.
  if (values.recursive === true) void flavour().catch(() => undefined);
  const { sidecar } = await connect(config);
  const isArchive = source.at === 'stream' && values.recursive === true;
  if (isArchive || await isDirectory(sidecar, source)) {
    if (source.at !== 'stream' && values.recursive !== true) throw needsRecursion(source);
    return copyTree(sidecar, source, target, { allLinks: values['all-links'] === true });
  }
  await copy(sidecar, source, target);
  return exitCodes.ok;
}

async function isDirectory(sidecar: Sidecar, place: Place): Promise<boolean> {
  if (place.at === 'stream') return false;
  if (place.at === 'here') return isDirectoryHere(place.path);
  return (await sidecar.files.stat(place.path, { follow: true })).type === 'directory';
}

async function open(sidecar: Sidecar, place: Place): Promise<Source> {
  if (place.at === 'stream') return { content: process.stdin };
  const { path } = place;
  if (place.at === 'here') return openLocal(path);
  const { mode } = await sidecar.files.stat(path, { follow: true });
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
