/**
 * Brings a trusted release into a folder of its own, and checks that the folder then holds that release.
 * @module
 */
import { join } from 'node:path';
import { errorCode } from '../base/error-code.ts';
import { readRegularLater } from '../base/files/untrusted-file.ts';
import { ParseError, fieldsOf, optional, text } from '../base/parse.ts';
import type { UpdateStep } from '../protocol/updates.ts';
import { type DownloadOptions, download } from './fetch/download.ts';
import { checkFile, parseIntegrity } from './trust/integrity.ts';
import { copyPackage } from './archive/package-folder.ts';
import { TrustError, UpdateError } from './errors.ts';
import { redactUrl } from './redact-url.ts';
import { authorizationFor } from './sources/npm.ts';
import type { Registry } from './sources/npmrc.ts';
import { type Release, type Tarball, versionText } from './sources/source.ts';
import { unpack } from './archive/tarball.ts';
import { verifyFiles } from './versions/verify-files.ts';

/** Limits on a release. */
export interface ReleaseLimits {
  /** Largest tarball, in bytes. */
  readonly tarballBytes: number;
  /** Largest size of all files together, in bytes. */
  readonly unpackedBytes: number;
  /** Largest number of files and folders. */
  readonly files: number;
}

export interface PrepareOptions {
  readonly registry: Registry;
  readonly limits: ReleaseLimits;
  readonly signal: AbortSignal;
  readonly onStep: (step: UpdateStep) => void;
  /** Retries and time limits of a download, and its `fetch`. */
  readonly patience: Pick<DownloadOptions, 'attempts' | 'backoffMs' | 'stalledMs' | 'fetch'>;
}

/** The program that every release has, and that servers are started from. */
const program = 'dist/cli/main.js';
const maxPackageBytes = 2 ** 20;
const parsePackage = fieldsOf({ name: optional(text({ min: 1 })), version: versionText });

/**
 * Fetches the release into `staging`, an empty folder, and unpacks it there.
 *
 * @returns The folder with its files, checked and flushed to disk.
 * @throws TrustError, TarballError, SourceError, UpdateError, errors of the file system, or the signal's reason.
 */
export async function prepare(release: Release, staging: string, options: PrepareOptions): Promise<string> {
  const { onStep, signal, limits } = options;
  const folder = join(staging, 'package');
  const tarball = await fetched(release, join(staging, 'package.tgz'), options);
  onStep('unpacking');
  const hashes = new Map<string, string>();
  const rules = {
    maxBytes: limits.unpackedBytes,
    maxFiles: limits.files,
    signal,
    onFile: (path: string, sha512: string) => void hashes.set(path, sha512),
  };
  await (tarball.type === 'directory' ? copyPackage : unpack)(tarball.path, folder, rules);
  onStep('verifying');
  await verifyFiles(folder, hashes, { signal });
  mustHaveProgram(release.version, hashes);
  await assertSameRelease(folder, release);
  return folder;
}

type LocalTarball = Exclude<Tarball, { type: 'url' }>;

/** Downloads the tarball; a release on this machine is used where it is. */
async function fetched(
  { tarball, integrity, proof }: Release,
  file: string,
  options: PrepareOptions,
): Promise<LocalTarball> {
  if (tarball.type !== 'url') return tarball;
  const { url } = tarball;
  const { onStep, signal, limits, registry, patience } = options;
  if (integrity === undefined) {
    throw new TrustError(
      'weak-integrity',
      'Cannot trust what is downloaded: there is no integrity to check it against',
    );
  }
  onStep('downloading');
  const headers = proof.type === 'npm' ? authorizationFor(url, registry) : undefined;
  await download(url, file, { ...patience, maxBytes: limits.tarballBytes, signal, headers });
  onStep('verifying');
  await checkFile(file, parseIntegrity(integrity), { name: redactUrl(url), signal });
  return { type: 'file', path: file };
}

function mustHaveProgram(version: string, hashes: ReadonlyMap<string, string>): void {
  if (!hashes.has(program)) {
    throw new UpdateError(`Cannot install ${version}: there is no ${program} in it`, { isToBlame: true });
  }
}

/** Checks name and version: a tarball may hold another package than its metadata say, signed or not. */
async function assertSameRelease(folder: string, { version, proof }: Release): Promise<void> {
  const described = await readPackage(folder, version);
  const name = proof.type === 'npm' ? proof.name : described.name;
  if (described.name === name && described.version === version) return;
  const actual = `${described.name ?? 'a package without a name'} ${described.version}`;
  throw new UpdateError(`Cannot install ${version}: it is ${actual} by its package.json`, { isToBlame: true });
}

async function readPackage(folder: string, version: string): Promise<ReturnType<typeof parsePackage>> {
  try {
    return parsePackage(
      JSON.parse((await readRegularLater(join(folder, 'package.json'), maxPackageBytes)).toString()),
      'package.json',
    );
  } catch (error) {
    const isMissing = errorCode(error) === 'ENOENT';
    if (!isMissing && !(error instanceof SyntaxError) && !(error instanceof ParseError)) throw error;
    const reason = isMissing
      ? 'there is no package.json in it'
      : `its package.json cannot be read (${(error as Error).message})`;
    throw new UpdateError(`Cannot install ${version}: ${reason}`, { isToBlame: true, cause: error });
  }
}
