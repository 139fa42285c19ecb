/**
 * Where releases come from, and what is known of one before its files are fetched. Nothing here is verified: other
 * modules check the proof and the integrity.
 * @module
 */
import { ParseError, type Parser, parser, refuse } from '../../base/parse.ts';
import type { Manifest } from '../trust/signatures.ts';
import { SourceError } from '../errors.ts';
import { isVersion } from '../versions/semver.ts';

export interface Release {
  readonly version: string;
  readonly tarball: Tarball;
  /** Subresource integrity (`sha512-…`) of the tarball, possibly with several algorithms. */
  readonly integrity: string | undefined;
  readonly proof: Proof;
  /** The lowest version of Node that it runs on, as `X.Y.Z`. */
  readonly minNode: string | undefined;
}

export type Tarball =
  | { readonly type: 'url'; readonly url: URL }
  | { readonly type: 'file'; readonly path: string }
  /** Unpacked already. */
  | { readonly type: 'directory'; readonly path: string };

export type Proof =
  /** Each signature covers `name@version:integrity`. */
  | {
    readonly type: 'npm'; readonly name: string;
    readonly signatures: readonly Signature[]; readonly publishedAt: string | undefined
  }
  /** The signature covers the manifest as it was written. */
  | { readonly type: 'manifest'; readonly manifest: Manifest; readonly signature: string | undefined }
  /** It was on this machine already: a user who can write there needs no proof. */
  | { readonly type: 'local' };

export interface Signature {
  readonly keyid: string;
  /** Base64. */
  readonly sig: string;
}

export interface Source {
  /**
   * Looks up one release: `wanted.version`, or else the one that the source names.
   *
   * @throws SourceError when the release does not exist or cannot be read.
   */
  readonly find: (
    wanted: { readonly version?: string | undefined },
    options?: { readonly signal?: AbortSignal | undefined },
  ) => Promise<Release>;
}

/** A strict version: it may become the name of a folder. */
export const versionText: Parser<string> = parser({ type: 'string' }, (value, path) =>
  (typeof value === 'string' && isVersion(value) ? value : refuse(path, 'a version such as 1.2.3', value)));

/** An optional field in any form: its reader decides. */
export const anything: Parser<unknown> = Object.assign(parser<unknown>({}, (value) => value), { isOptional: true });

/** The lower bound of `>=X.Y.Z`; `undefined` for any other range. */
export function lowerBound(range: unknown): string | undefined {
  const [, major, minor = '0', patch = '0'] = typeof range === 'string'
    ? /^\s*>=\s*v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?\s*$/.exec(range) ?? []
    : [];
  // Without leading zeros, which versions do not allow.
  return major === undefined ? undefined : [major, minor, patch].map(Number).join('.');
}

/** @throws SourceError `malformed` when a parser refuses data from `where`. */
export function parseFrom<T>(where: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    throw new SourceError('malformed', `Cannot use ${where}: ${error.message}; ask who publishes it`, { cause: error });
  }
}

/** @throws SourceError `not_found` when a source with a single release has another one than wanted. */
export function assertVersion(wanted: string | undefined, version: string, where: string): void {
  if (wanted === undefined || wanted === version) return;
  throw new SourceError(
    'not_found',
    `Cannot find version ${wanted}: ${where} has ${version}; ask for that, or name another source`,
  );
}
