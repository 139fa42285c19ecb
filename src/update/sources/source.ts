/**
 * Where releases come from, and what is known of one before its files are fetched. What is said here is only said: the proof
 * and the integrity are for others to check.
 * @module
 */
import { ParseError, type Parser, parser, refuse } from '../../base/parse.ts';
import type { Manifest } from '../signatures.ts';
import { SourceError } from '../source-error.ts';
import { isVersion } from '../version.ts';

export interface Release {
  readonly version: string;
  readonly tarball: Tarball;
  /** Subresource integrity (`sha512-…`) of the tarball, maybe of several kinds. */
  readonly integrity: string | undefined;
  readonly proof: Proof;
  /** The oldest Node that it runs on, as `X.Y.Z`. */
  readonly minNode: string | undefined;
}

export type Tarball =
  | { readonly kind: 'url'; readonly url: URL }
  | { readonly kind: 'file'; readonly path: string }
  /** Unpacked already. */
  | { readonly kind: 'directory'; readonly path: string };

export type Proof =
  /** Each signature is over `name@version:integrity`. */
  | { readonly kind: 'npm'; readonly name: string; readonly signatures: readonly Signature[]; readonly publishedAt: string | undefined }
  /** What is signed is the manifest as it was written. */
  | { readonly kind: 'manifest'; readonly manifest: Manifest; readonly signature: string | undefined }
  /** It was on this machine already: whoever may write there need not prove anything. */
  | { readonly kind: 'local' };

export interface Signature {
  readonly keyid: string;
  /** Base64. */
  readonly sig: string;
}

export interface Source {
  /**
   * Looks up one release: `wanted.version`, else the one that the source names.
   *
   * @throws SourceError when there is none, or it cannot be read.
   */
  readonly find: (wanted: { readonly version?: string | undefined }, options?: { readonly signal?: AbortSignal | undefined }) => Promise<Release>;
}

/** A version to the letter: what it says may become the name of a folder. */
export const versionText: Parser<string> = parser({ type: 'string' }, (value, path) =>
  (typeof value === 'string' && isVersion(value) ? value : refuse(path, 'a version such as 1.2.3', value)));

/** What may be there, in whatever form: the reader of it decides. */
export const anything: Parser<unknown> = Object.assign(parser<unknown>({}, (value) => value), { isOptional: true });

/** The lower bound of `>=X.Y.Z`; `undefined` when the range says anything else. */
export function lowerBound(range: unknown): string | undefined {
  const [, major, minor = '0', patch = '0'] = typeof range === 'string'
    ? /^\s*>=\s*v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?\s*$/.exec(range) ?? []
    : [];
  // Leading zeros would make it no version.
  return major === undefined ? undefined : [major, minor, patch].map(Number).join('.');
}

/** @throws SourceError `malformed` when a parser refuses what came from `where`. */
export function understood<T>(where: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    throw new SourceError('malformed', `Cannot use ${where}: ${error.message}; ask who publishes it`, { cause: error });
  }
}

/** @throws SourceError `not_found` when a source that has one release only has another than is wanted. */
export function mustBe(wanted: string | undefined, version: string, where: string): void {
  if (wanted === undefined || wanted === version) return;
  throw new SourceError('not_found', `Cannot find version ${wanted}: ${where} has ${version}; ask for that, or name another source`);
}
