/**
 * Makes the files of a release: the package's tarball and, with a key, the manifest that names the tarball.
 *
 * The same files give the same bytes: they are sorted, have owner 0 and one time, and the modes and the gzip header are
 * fixed. The compressed bytes depend on the zlib in Node: to compare them, use the same version of Node on the same
 * kind of processor. The tar inside is the same everywhere.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { type KeyObject, createPrivateKey } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { integrityOf } from '../src/update/trust/integrity.ts';
import { type Manifest, manifestKeyOf, signManifest } from '../src/update/trust/signatures.ts';

const help = `Makes the tarball of a release and, with a key, its signed manifest.

    node --import tsx scripts/release.ts --out DIR [--sign KEYFILE] [--url BASE] [--from DIR]

    --out DIR        where the files go; made if it is not there
    --sign KEYFILE   a private Ed25519 key (PKCS#8, PEM): writes manifest.json, too
    --url BASE       where the tarball will be served from; without it, beside the manifest
    --from DIR       the package to release; without it, this one
    --help           this text

Examples
    node --import tsx scripts/release.ts --out /tmp/release

    openssl genpkey -algorithm ed25519 -out release-key.pem
    node --import tsx scripts/release.ts --out /tmp/release --sign release-key.pem \\
        --url https://example.org/machine-sidecar
`;

/** The time that npm gives the files of its own tarballs: zip archives know no time before 1980. */
const modifiedAt = Date.parse('1985-10-26T08:15:00Z') / 1_000;
const blockBytes = 512;

/** The fields of a package.json that are used here. */
interface Package {
  readonly name: string;
  readonly version: string;
  readonly bin?: string | { readonly [name: string]: string };
  readonly engines?: { readonly node?: string };
}

interface Entry {
  /** The path within the package, with slashes. */
  readonly path: string;
  readonly isExecutable: boolean;
}

const { values: options } = parseArgs({
  options: {
    out: { type: 'string' },
    sign: { type: 'string' },
    url: { type: 'string' },
    from: { type: 'string', default: fileURLToPath(new URL('../', import.meta.url)) },
    help: { type: 'boolean', default: false },
  },
});
process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`Cannot make a release: ${error instanceof Error ? error.message : String(error)}\n`);
  return 1;
});

async function main(): Promise<number> {
  if (options.help) {
    process.stdout.write(help);
    return 0;
  }
  if (options.out === undefined) {
    process.stderr.write(`Cannot make a release: --out is missing\n\n${help}`);
    return 2;
  }
  // Read first, so that an invalid key does not leave half a release.
  const key = options.sign === undefined ? undefined : createPrivateKey(readFileSync(options.sign));
  const root = resolve(options.from);
  build(root);
  try {
    return await release(root, { out: resolve(options.out), key });
  } finally {
    endPack(root);
  }
}

async function release(root: string, { out, key }: { out: string; key: KeyObject | undefined }): Promise<number> {
  const about = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Package;
  const tarball = join(out, `${about.name.replace('@', '').replace('/', '-')}-${about.version}.tgz`);
  mkdirSync(out, { recursive: true });
  writeFileSync(tarball, compress(pack(root, listFiles(root, about))));
  const integrity = await integrityOf(tarball);
  say('tarball', tarball);
  say('integrity', integrity);
  if (key !== undefined) writeManifest(join(out, 'manifest.json'), { about, tarball, integrity, key });
  return 0;
}

/** Builds the package if it has a script for that, as `npm pack` does. */
function build(root: string): void {
  const script = packScript(root);
  if (existsSync(script)) execFileSync(process.execPath, [script, 'begin'], { cwd: root, stdio: ['ignore', 2, 2] });
}

function endPack(root: string): void {
  const script = packScript(root);
  if (existsSync(script)) execFileSync(process.execPath, [script, 'end'], { cwd: root, stdio: ['ignore', 2, 2] });
}

function packScript(root: string): string {
  return join(root, 'scripts/setup/pack.mjs');
}

/** The files that npm would pack, in the byte order of their paths. */
function listFiles(root: string, about: Package): Entry[] {
  const isWindows = process.platform === 'win32';
  const listed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 2], maxBuffer: 64 * 1024 * 1024, shell: isWindows,
  });
  const [packed] = JSON.parse(listed) as [{ readonly files: readonly { readonly path: string }[] }];
  const bin = typeof about.bin === 'string' ? [about.bin] : Object.values(about.bin ?? {});
  const programs = new Set(bin.map((path) => path.replace(/^\.\//, '')));
  return packed.files
    .map(({ path }) => ({ path, isExecutable: programs.has(path) || isScript(join(root, path)) }))
    .sort((one, other) => Buffer.compare(Buffer.from(one.path), Buffer.from(other.path)));
}

function isScript(path: string): boolean {
  return path.endsWith('.js') && readFileSync(path).subarray(0, 2).toString() === '#!';
}

/** A tar archive (POSIX.1-1988, ustar) of the files, below `package/`. */
function pack(root: string, entries: readonly Entry[]): Buffer {
  const files = entries.flatMap((entry) => {
    const content = readFileSync(join(root, entry.path));
    const padding = Buffer.alloc((blockBytes - (content.length % blockBytes)) % blockBytes);
    return [header(entry, content.length), content, padding];
  });
  // Two empty blocks end the archive.
  return Buffer.concat([...files, Buffer.alloc(2 * blockBytes)]);
}

function header({ path, isExecutable }: Entry, sizeBytes: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  const { prefix, name } = splitPath(`package/${path}`);
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
  block.write(name, 0);
  block.write(octal(isExecutable ? 0o755 : 0o644, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(sizeBytes, 11), 124);
  block.write(octal(modifiedAt, 11), 136);
  block.write('        ', 148);
  block.write('0', 156);
  block.write('ustar\x0000', 257);
  block.write(prefix, 345);
  // The checksum is the sum of all bytes, with spaces in its own field.
  block.write(`${octal(block.reduce((sum, byte) => sum + byte, 0), 6)}\0 `, 148);
  return block;
}

/** A name has room for 100 bytes, and a prefix of folders for 155 more. */
function splitPath(path: string): { readonly prefix: string; readonly name: string } {
  if (Buffer.byteLength(path) <= 100) return { prefix: '', name: path };
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
    const [prefix, name] = [path.slice(0, slash), path.slice(slash + 1)];
    if (Buffer.byteLength(prefix) <= 155 && Buffer.byteLength(name) <= 100) return { prefix, name };
  }
  throw new Error(`Cannot pack ${path}: its name is too long for a tar archive`);
}

function compress(tar: Buffer): Buffer {
  const zipped = gzipSync(tar, { level: 9 });
  // RFC 1952 §2.3.1: no time, and an unknown operating system (zlib writes its own).
  zipped.fill(0, 4, 8);
  zipped[9] = 255;
  return zipped;
}

function writeManifest(
  path: string,
  release: { readonly about: Package; readonly tarball: string; readonly integrity: string; readonly key: KeyObject },
): void {
  const { about, tarball, integrity, key } = release;
  const manifest: Manifest = { version: about.version, url: urlOf(tarball), integrity, minNode: leastNode(about) };
  const signature = signManifest(manifest, key);
  writeFileSync(path, `${JSON.stringify({ ...manifest, signature }, null, 2)}\n`);
  say('manifest', path);
  say('key', manifestKeyOf(key));
}

function urlOf(tarball: string): string {
  const name = encodeURIComponent(tarball.split(/[/\\]/).at(-1) ?? '');
  return options.url === undefined ? name : `${options.url.replace(/\/+$/, '')}/${name}`;
}

function leastNode({ engines }: Package): string {
  const [, least] = /^>=\s*(\d+(?:\.\d+){0,2})$/.exec(engines?.node ?? '') ?? [];
  if (least === undefined) throw new Error(
    'Cannot tell the least Node: expected engines.node like ">=20.11" in package.json',
  );
  return least;
}

function say(what: string, value: string): void {
  process.stdout.write(`${what.padEnd(10)}${value}\n`);
}
