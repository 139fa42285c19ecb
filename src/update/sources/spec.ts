/**
 * What `--update-source` accepts: a package of a registry, the address of a signed manifest, or a path on this machine.
 * @module
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isLoopbackName } from '../../base/loopback.ts';
import { refuse } from '../../base/parse.ts';

export type SourceSpec =
  /** `selector`: a version, or a tag such as `latest`. */
  | { readonly type: 'npm'; readonly name: string; readonly selector: string }
  | { readonly type: 'manifest'; readonly url: URL }
  /** Absolute path of a `.tgz` or a directory. */
  | { readonly type: 'local'; readonly path: string };

const word = '[a-z0-9~-][a-z0-9._~-]*';
/** npm's present rules for names, with the length limit of its registry. */
const packagePattern = new RegExp(
  `^npm:(?<name>(?=.{1,214}(?:@[^/]*)?$)(?:@${word}/)?${word})(?:@(?<selector>[A-Za-z0-9][A-Za-z0-9._+-]{0,99}))?$`,
);

const expected = 'npm:NAME[@TAG or VERSION], the https address of a manifest (….json), '
  + 'or the path of a .tgz or of a directory';

/** @param path Name of the value in messages. @throws ParseError when it is none of the three. */
export function parseSource(source: string, path = 'the update source'): SourceSpec {
  if (source.startsWith('npm:')) return parsePackage(source, path);
  if (/^https?:/i.test(source)) return { type: 'manifest', url: parseManifestUrl(source, path) };
  if (source.startsWith('file:')) return { type: 'local', path: parseFileUrl(source, path) };
  if (!isPath(source)) refuse(path, expected, source);
  return { type: 'local', path: resolve(source) };
}

function parsePackage(source: string, path: string): SourceSpec {
  const { name, selector = 'latest' } = packagePattern.exec(source)?.groups ?? {};
  if (name === undefined) refuse(path, 'npm:NAME[@TAG or VERSION]', source);
  return { type: 'npm', name, selector };
}

function parseManifestUrl(source: string, path: string): URL {
  // The text may hold a password, so the message does not repeat it.
  if (!URL.canParse(source)) refuse(path, 'an address', 'what cannot be read as one');
  const url = new URL(source);
  if (url.protocol === 'http:' && !isLoopbackName(url.hostname)) {
    refuse(path, 'an https address (http only for this machine)', url.origin);
  }
  if (!url.pathname.endsWith('.json')) {
    refuse(path, 'the address of a manifest (….json)', `${url.origin}${url.pathname}`);
  }
  return url;
}

/** `file:///x/y.tgz`, and `file:y.tgz` as npm writes it. */
function parseFileUrl(source: string, path: string): string {
  const rest = source.slice('file:'.length);
  if (!rest.startsWith('//')) return rest === '' ? refuse(path, expected, source) : resolve(rest);
  try {
    return fileURLToPath(source);
  } catch {
    // It has another host, or an encoded slash.
    return refuse(path, 'a file of this machine', source);
  }
}

/** Whether the text is a path. A word without a slash is more likely the name of a package, and so is `@scope/name`. */
function isPath(source: string): boolean {
  const isNamed = /^[.~]?\.?\//.test(source) || source === '.' || source === '..';
  const isRelative = source.includes('/') && !/^(@|[a-z][a-z0-9+.-]+:)/i.test(source);
  return !source.includes('\0') && (isNamed || isRelative || /^[^:@]+\.tgz$/.test(source));
}
