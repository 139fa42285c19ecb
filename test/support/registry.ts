/**
 * An npm registry on this machine, with a real one's metadata and signatures, which also fails as told.
 *
 * @module
 */
import { type KeyObject, createHash, generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { atEnd } from './server.ts';
import { entry, tgz } from './tarball.ts';

export interface SigningKey {
  readonly keyid: string;
  readonly privateKey: KeyObject;
  /** SPKI in DER, base64: as the registry's `/-/npm/v1/keys` has it. */
  readonly publicKey: string;
}

export interface PackageVersion {
  readonly version: string;
  /** Default: a small package of that name and version. */
  readonly tarball?: Buffer;
  /** `engines.node`. */
  readonly node?: string;
  readonly deprecated?: string;
  /** Default: 2026-01-01T00:00:00.000Z. */
  readonly publishedAt?: string;
  /** Laid over its metadata, for what no honest registry says. */
  readonly metadata?: { readonly [field: string]: unknown };
  /** Laid over its `dist`. */
  readonly dist?: { readonly [field: string]: unknown };
}

export interface Package {
  readonly name: string;
  readonly versions: readonly PackageVersion[];
  /** Default: `latest` is the last version. */
  readonly tags?: { readonly [tag: string]: string };
  /** Without one nothing is signed. */
  readonly key?: SigningKey;
}

export type Fault = { readonly times?: number } & (
  /** No answer at all. */
  | { readonly kind: 'hang' }
  /** Headers and so many bytes, then nothing. */
  | { readonly kind: 'hang-after'; readonly bytes: number }
  /** So many bytes, then the connection breaks. */
  | { readonly kind: 'truncate'; readonly bytes: number }
  | { readonly kind: 'wrong-length'; readonly bytes: number }
  /** All of it, with no length said before. */
  | { readonly kind: 'no-length' }
  | { readonly kind: 'status'; readonly status: number; readonly headers?: { readonly [name: string]: string } }
  | { readonly kind: 'redirect'; readonly location: string }
  | { readonly kind: 'ignore-range' }
  /** 206 for another part than was asked for. */
  | { readonly kind: 'wrong-range' }
  /** From now on it is another file. */
  | { readonly kind: 'replace'; readonly content: Buffer }
);

export interface SeenRequest {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}

export interface Registry {
  /** Ends in a slash. */
  readonly url: URL;
  readonly requests: readonly SeenRequest[];
  /** Adds the package, or takes its place. */
  readonly publish: (published: Package) => void;
  /** Adds a file. @param headers Over the usual ones; an empty one is left out. @returns its address. */
  readonly serve: (path: string, content: Buffer | string, headers?: { readonly [name: string]: string }) => URL;
  /** The next requests for the path fail like this, each as often as it says (once), one after the other. */
  readonly misbehave: (path: string, ...faults: readonly Fault[]) => void;
}

/** Where the registry has the tarball. */
export function tarballPath(name: string, version: string): string {
  return `/${name}/-/${name.replace(/^@.*\//, '')}-${version}.tgz`;
}

/** A tarball as `npm pack` makes it. @param files Below `package/`, besides package.json. */
export function packageTarball(
  manifest: { readonly [field: string]: unknown }, files: { readonly [path: string]: string | Buffer } = {},
): Buffer {
  const all = { 'package.json': JSON.stringify(manifest), ...files };
  const entries = Object.entries(all).map(([path, content]) => entry(`package/${path}`, { content }));
  return tgz(...entries);
}

export function newSigningKey(): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const der = publicKey.export({ type: 'spki', format: 'der' });
  return { privateKey, publicKey: der.toString('base64'), keyid: `SHA256:${createHash('sha256').update(der).digest('base64')}` };
}

export function integrityOf(content: Buffer): string {
  return `sha512-${createHash('sha512').update(content).digest('base64')}`;
}

export async function startRegistry(t: TestContext, packages: readonly Package[] = []): Promise<Registry> {
  const files = new Map<string, ServedFile>();
  const requests: SeenRequest[] = [];
  const faults = new Map<string, Fault[]>();
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    requests.push({ path, headers: request.headers });
    respond({ request, response, path, files, fault: faults.get(path)?.shift() });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(t, () => {
    server.closeAllConnections();
    server.close();
  });
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const registry: Registry = {
    url,
    requests,
    publish: (published) => publish(published, registry),
    serve: (path, content, headers = {}) => {
      files.set(path, { content: Buffer.from(content), headers });
      return new URL(path, url);
    },
    misbehave: (path, ...more) => {
      const repeated = more.flatMap((fault) => Array.from({ length: fault.times ?? 1 }, () => fault));
      faults.set(path, [...(faults.get(path) ?? []), ...repeated]);
    },
  };
  const keys = packages.flatMap(({ key }) => key ?? []).map(({ keyid, publicKey }) =>
    ({ keyid, keytype: 'ecdsa-sha2-nistp256', scheme: 'ecdsa-sha2-nistp256', key: publicKey, expires: null }));
  registry.serve('/-/npm/v1/keys', JSON.stringify({ keys }));
  packages.forEach(registry.publish);
  return registry;
}

function publish({ name, versions, tags, key }: Package, registry: Registry): void {
  const described = versions.map((one): [string, unknown] => {
    const { version, node, deprecated, metadata, dist } = one;
    const engines = node === undefined ? {} : { engines: { node } };
    const tarball = one.tarball ?? packageTarball({ name, version, ...engines });
    const address = registry.serve(tarballPath(name, version), tarball, { 'content-type': 'application/octet-stream' });
    return [version, {
      name, version, _id: `${name}@${version}`, ...engines, ...(deprecated === undefined ? {} : { deprecated }),
      dist: { ...distOf(`${name}@${version}`, tarball, key), tarball: address.href, ...dist },
      ...metadata,
    }];
  });
  const packument = {
    '_id': name, name,
    'dist-tags': tags ?? { latest: versions.at(-1)?.version },
    'versions': Object.fromEntries(described),
    'time': Object.fromEntries(versions.map(({ version, publishedAt }) => [version, publishedAt ?? '2026-01-01T00:00:00.000Z'])),
  };
  registry.serve(`/${name.replace('/', '%2f')}`, JSON.stringify(packument), { 'content-type': 'application/json' });
}

/** https://docs.npmjs.com/about-registry-signatures */
function distOf(id: string, tarball: Buffer, key: SigningKey | undefined): object {
  const integrity = integrityOf(tarball);
  const shasum = createHash('sha1').update(tarball).digest('hex');
  if (key === undefined) return { integrity, shasum };
  const sig = sign('sha256', Buffer.from(`${id}:${integrity}`), key.privateKey).toString('base64');
  return { integrity, shasum, signatures: [{ keyid: key.keyid, sig }] };
}

interface ServedFile {
  readonly content: Buffer;
  readonly headers: { readonly [name: string]: string };
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly path: string;
  readonly files: Map<string, ServedFile>;
  readonly fault: Fault | undefined;
}

function respond({ request, response, path, files, fault }: Exchange): void {
  const served = files.get(path);
  if (fault?.kind === 'hang') return;
  if (fault?.kind === 'status') return void response.writeHead(fault.status, fault.headers).end('no');
  if (fault?.kind === 'redirect') return void response.writeHead(302, { location: fault.location }).end('elsewhere');
  if (served === undefined) return void response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"Not found"}');
  const file = fault?.kind === 'replace' ? { ...served, content: fault.content } : served;
  files.set(path, file);
  send(response, partOf(request, file, fault), fault);
}

interface Part {
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
  readonly content: Buffer;
}

/** RFC 9110 §14: the rest of the file, if it is still the one that the asker knows. */
function partOf({ headers: asked }: IncomingMessage, { content, headers }: ServedFile, fault: Fault | undefined): Part {
  const usual = { 'etag': `"${createHash('sha1').update(content).digest('hex')}"`, 'accept-ranges': 'bytes', ...headers };
  const known = Object.fromEntries(Object.entries(usual).filter(([, value]) => value !== ''));
  const from = Number(/^bytes=(\d+)-$/.exec(asked.range ?? '')?.[1]);
  const isKnown = asked['if-range'] === undefined || asked['if-range'] === known['etag'] || asked['if-range'] === known['last-modified'];
  if (Number.isNaN(from) || !isKnown || fault?.kind === 'ignore-range') return { status: 200, headers: known, content };
  const range = { 'content-range': `bytes */${content.length}` };
  if (from >= content.length) return { status: 416, headers: range, content: Buffer.alloc(0) };
  const first = fault?.kind === 'wrong-range' ? from - 1 : from;
  const found = { 'content-range': `bytes ${first}-${content.length - 1}/${content.length}` };
  return { status: 206, headers: { ...known, ...found }, content: content.subarray(first) };
}

function send(response: ServerResponse, { status, headers, content }: Part, fault: Fault | undefined): void {
  const sizeBytes = fault?.kind === 'wrong-length' ? fault.bytes : content.length;
  const length: { [name: string]: string | number } = fault?.kind === 'no-length' ? {} : { 'content-length': sizeBytes };
  // A connection of its own: what a wrong length leaves behind must not be taken for the next answer.
  response.writeHead(status, { connection: 'close', ...headers, ...length });
  if (fault?.kind === 'hang-after') return void response.write(content.subarray(0, fault.bytes));
  if (fault?.kind !== 'truncate') return void response.end(content);
  response.write(content.subarray(0, fault.bytes), () => {
    // fetch forgets what was not read yet when the connection breaks: the bytes come well before that.
    setTimeout(() => response.socket?.end(), 50);
  });
}
