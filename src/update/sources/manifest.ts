/**
 * A release that a signed JSON document describes, on any file server.
 * @module
 */
import { isLoopbackName } from '../../base/loopback.ts';
import { type ReadOptions, readJson } from '../fetch/read-json.ts';
import { parseManifest } from '../trust/signatures.ts';
import { SourceError } from '../errors.ts';
import { redactUrl } from '../redact-url.ts';
import { type Source, assertVersion, lowerBound, parseFrom } from './source.ts';

export type ManifestOptions = Pick<ReadOptions, 'attempts' | 'backoffMs' | 'stalledMs' | 'withinMs' | 'fetch'>;

const maxBytes = 64 * 1024;

/** The one release that the manifest at `url` describes. */
export function manifestSource(url: URL, options: ManifestOptions = {}): Source {
  return {
    find: async (wanted, { signal } = {}) => {
      const value = await readJson(url, { ...options, maxBytes, signal });
      const { signature, ...manifest } = parseFrom(redactUrl(url), () => parseManifest(value, 'the manifest'));
      const { version, integrity, minNode } = manifest;
      assertVersion(wanted.version, version, redactUrl(url));
      return {
        version,
        tarball: { type: 'url', url: tarballUrl(manifest.url, url) },
        integrity,
        proof: { type: 'manifest', manifest, signature },
        minNode: lowerBound(`>=${minNode}`),
      };
    },
  };
}

/**
 * Resolves against the address that the manifest was requested from, not against a redirect of it: so an address below
 * `latest` stays one.
 */
function tarballUrl(address: string, manifest: URL): URL {
  const url = URL.canParse(address, manifest.href) ? new URL(address, manifest) : undefined;
  if (url === undefined) {
    throw new SourceError(
      'malformed', `Cannot use ${redactUrl(manifest)}: its url is no address; ask who publishes it`,
    );
  }
  const isLocal = url.protocol === 'http:' && manifest.protocol === 'http:' && isLoopbackName(url.hostname);
  if (url.protocol === 'https:' || isLocal) return url;
  throw new SourceError(
    'refused',
    `Cannot use ${redactUrl(url)}: it must be an https address; ask who publishes ${redactUrl(manifest)}`,
  );
}
