/**
 * Releases in an npm registry. Reads the full metadata of a package, because only they have the publishing times, which
 * decide which keys may have signed a version.
 * @module
 */
import { array, fieldsOf, optional, text } from '../../base/parse.ts';
import { type ReadOptions, readJson } from '../fetch/read-json.ts';
import { SourceError } from '../errors.ts';
import { redactUrl } from '../redact-url.ts';
import { isVersion } from '../versions/semver.ts';
import type { Registry } from './npmrc.ts';
import { type Release, type Source, anything, lowerBound, parseFrom, versionText } from './source.ts';
import type { SourceSpec } from './spec.ts';

export type NpmOptions = Registry & Pick<ReadOptions, 'attempts' | 'backoffMs' | 'stalledMs' | 'withinMs' | 'fetch'>;

const maxBytes = 20 * 1024 * 1024;

/** The releases of one package. */
export function npmSource(spec: Extract<SourceSpec, { type: 'npm' }>, options: NpmOptions): Source {
  const { name } = spec;
  const url = packageUrl(name, options.registry);
  return {
    find: async (wanted, { signal } = {}) => {
      const { attempts, backoffMs, stalledMs, withinMs, fetch } = options;
      const headers = authorizationFor(url, options);
      const value = await readJson(url, { maxBytes, headers, signal, attempts, backoffMs, stalledMs, withinMs, fetch });
      const selector = wanted.version ?? spec.selector;
      return parseFrom(redactUrl(url), () => releaseOf(value, { name, selector, registry: options.registry }));
    },
  };
}

/** The header with the token, for URLs of the registry itself only. */
export function authorizationFor(url: URL, { registry, token }: Registry): { readonly [name: string]: string } {
  return token !== undefined && url.origin === registry.origin ? { authorization: `Bearer ${token}` } : {};
}

/** The slash of a scoped name is encoded: otherwise it would separate two segments of the path. */
function packageUrl(name: string, registry: URL): URL {
  const url = new URL(registry);
  url.pathname = `${registry.pathname.replace(/\/+$/, '')}/${name.replace('/', '%2f')}`;
  return url;
}

interface PackageSelection {
  readonly name: string;
  readonly selector: string;
  readonly registry: URL;
}

const parsePackument = fieldsOf({
  'name': text({ min: 1 }),
  'dist-tags': anything,
  'versions': anything,
  'time': anything,
});

/** `engines` and `deprecated` have had many forms over the years: their readers accept any. */
const parseVersion = fieldsOf({
  name: text({ min: 1 }),
  version: versionText,
  engines: anything,
  deprecated: anything,
  dist: fieldsOf({
    tarball: text({ min: 1, max: 4096 }),
    integrity: optional(text({ min: 1, max: 4096 })),
    signatures: optional(array(
      fieldsOf({ keyid: text({ min: 1, max: 200 }), sig: text({ min: 1, max: 4096 }) }),
      { max: 20 },
    )),
  }),
});

function releaseOf(value: unknown, { name, selector, registry }: PackageSelection): Release {
  const packument = parsePackument(value, 'the metadata');
  const version = selectVersion(packument, name, selector);
  const found = parseVersion(ownField(packument.versions, version), `the metadata of ${version}`);
  const { dist: { tarball, integrity, signatures = [] }, engines, deprecated } = found;
  if (packument.name !== name || found.name !== name || found.version !== version) {
    throw new SourceError(
      'malformed',
      `Cannot use ${name} ${version}: its metadata are of ${found.name} ${found.version}; ask who runs the registry`,
    );
  }
  if (version !== selector) assertNotDeprecated(deprecated, name, version);
  const publishedAt = ownField(packument.time, version);
  return {
    version,
    tarball: { type: 'url', url: tarballUrl(tarball, registry) },
    integrity,
    proof: { type: 'npm', name, signatures, publishedAt: typeof publishedAt === 'string' ? publishedAt : undefined },
    minNode: lowerBound(ownField(engines, 'node')),
  };
}

function selectVersion(
  { versions, 'dist-tags': tags }: { versions: unknown; 'dist-tags': unknown },
  name: string,
  selector: string,
): string {
  if (isVersion(selector)) {
    if (ownField(versions, selector) !== undefined) return selector;
    throw new SourceError(
      'not_found',
      `Cannot find version ${selector} of ${name}: the registry has none such; check what was published`,
    );
  }
  const version = ownField(tags, selector);
  if (typeof version === 'string' && ownField(versions, version) !== undefined) return version;
  throw new SourceError(
    'not_found',
    `Cannot find ${name}@${selector}: the registry has no such tag; name another tag or a version`,
  );
}

/** Refuses a deprecated version. Not called for a version that was requested by number: that is given all the same. */
function assertNotDeprecated(deprecated: unknown, name: string, version: string): void {
  // An empty text revokes a deprecation.
  if (deprecated === undefined || deprecated === null || deprecated === false || deprecated === '') return;
  const why = typeof deprecated === 'string' ? ` ("${deprecated.slice(0, 200)}")` : '';
  throw new SourceError(
    'deprecated',
    `Cannot take ${name} ${version}: it is deprecated${why}; ask for it by number if it must be this one`,
  );
}

function tarballUrl(address: string, registry: URL): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined) {
    throw new SourceError('malformed', 'Cannot use the release: its tarball has no address; ask who runs the registry');
  }
  if (url.protocol === 'https:' || (url.protocol === 'http:' && registry.protocol === 'http:')) return url;
  throw new SourceError(
    'refused',
    `Cannot use ${redactUrl(url)}: the registry is ${registry.protocol}//, its tarball must not be less safe; `
      + 'ask who runs it',
  );
}

/** An own field of a value that may be an object; never a field of its prototype. */
function ownField(value: unknown, field: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, field)) return undefined;
  return Object.getOwnPropertyDescriptor(value, field)?.value;
}
