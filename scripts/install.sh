#!/bin/sh
# Installs machine-sidecar from nothing but Node, and has it run as a service:
#
#     curl -fsSL ADDRESS/scripts/install.sh | sh
#     sh install.sh --help
#
# Nothing runs before the last line: a download that breaks off does nothing.
set -eu

package=machine-sidecar

usage() {
  cat << 'END'
Installs machine-sidecar and has it run as a service, of this user or, for root, of the machine.

    sh install.sh [options]

    --version V    a version, or a tag of the registry such as next; without it, latest
    --prefix DIR   where it goes: DIR/VERSION; without it ~/.local/share/machine-sidecar, for root /opt/machine-sidecar
    --from FILE    a tarball that is here already, which is believed as it is; nothing is downloaded
    --trust FILE   trust this key of a registry too, beside npm's: {"keyid": "SHA256:…", "key": "…", "expires": null}
    --user         a service of this user; without it so for all but root
    --system       a service of the machine; only root can
    --port N       the port of the service; without it 8585
    --no-service   only install the program
    --uninstall    remove the service, the command and the program; jobs, their output and the key stay
    --dry-run      say what would be done, and do nothing
    --help         this text

The registry is $SIDECAR_REGISTRY, else the one that npm is configured for, else https://registry.npmjs.org.
The command goes to ~/.local/bin, for root to /usr/local/bin; $SIDECAR_BIN_DIR names another folder.
END
}

main() {
  version=latest prefix='' from='' trust='' port='' scope='' service=yes dry='' bin='' action=install
  read_options "$@"
  find_places
  need_node
  if [ "$action" = uninstall ]; then
    uninstall
    return
  fi
  if [ -n "$dry" ]; then
    plan
    return
  fi
  staging=$prefix/.new-$$
  trap 'rm -rf "$staging"' EXIT
  trap 'exit 1' HUP INT TERM
  umask 022
  mkdir -p "$prefix" "$bin" "$staging"
  if [ -n "$from" ]; then cp "$from" "$staging/package.tgz"; else download; fi
  unpack
  link
  if [ "$service" = yes ]; then serve; else farewell; fi
}

read_options() {
  while [ $# -gt 0 ]; do
    case $1 in
      --version | --prefix | --from | --trust | --port)
        [ -n "${2:-}" ] || misuse "$1 needs a value"
        set_option "$1" "$2"
        shift ;;
      --user | --system)
        [ -z "$scope" ] || [ "$scope" = "$1" ] || misuse 'give --user or --system, not both'
        scope=$1 ;;
      --no-service) service=no ;;
      --uninstall) action=uninstall ;;
      --dry-run) dry=yes ;;
      --help | -h) usage; exit ;;
      *) misuse "unknown option $1" ;;
    esac
    shift
  done
}

set_option() {
  case $1 in
    --version) version=$2 ;;
    --prefix) prefix=$2 ;;
    --from) from=$2 ;;
    --trust) trust=$2 ;;
    --port) port=$2 ;;
  esac
}

find_places() {
  if [ "$(id -u)" = 0 ]; then
    prefix=${prefix:-/opt/$package} bin=${SIDECAR_BIN_DIR:-/usr/local/bin}
  else
    [ "$scope" != --system ] || die 'only root can install a service of the machine: run this again with sudo'
    : "${HOME:?is not set}"
    prefix=${prefix:-$HOME/.local/share/$package} bin=${SIDECAR_BIN_DIR:-$HOME/.local/bin}
  fi
  # The folder may not be there yet, so cd cannot tell.
  case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
  [ -z "$from" ] || [ -r "$from" ] || die "cannot read $from"
  [ -z "$trust" ] || [ -r "$trust" ] || die "cannot read $trust"
  [ ! -e "$bin/sidecar" ] || [ -L "$bin/sidecar" ] || die "$bin/sidecar is there, and is not a link: remove it first"
}

need_node() {
  command -v node > /dev/null || die "Node 20.11 or later is needed, and there is none on the PATH.
Get it from https://nodejs.org/en/download (or: brew install node, nvm install 22), and run this again."
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 11) ? 0 : 1)' ||
    die "Node 20.11 or later is needed; $(command -v node) is $(node --version).
Get it from https://nodejs.org/en/download (or: brew install node, nvm install 22), and run this again."
}

plan() {
  echo "This would be done:"
  if [ -n "$from" ]; then
    echo "  unpack   $from"
  else
    echo "  download $package@$version from $(registry), check integrity and signature"
  fi
  echo "  write    $prefix/VERSION"
  echo "  link     $bin/sidecar"
  [ "$service" = no ] || echo "  run      sidecar install $scope${port:+ --port $port}"
}

registry() {
  if [ -n "${SIDECAR_REGISTRY:-}" ]; then
    echo "$SIDECAR_REGISTRY"
  elif command -v npm > /dev/null; then
    npm config get registry 2> /dev/null || echo https://registry.npmjs.org
  else
    echo https://registry.npmjs.org
  fi
}

# The registry's word is not enough: the hash of the tarball must be signed by a key that this script knows.
download() {
  address=$(registry)
  echo "downloading $package@$version from $address"
  node --input-type=module - "$package" "$version" "$address" "$staging/package.tgz" "$trust" << 'END'
import { createHash, createPublicKey, verify } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

const [name, wanted, registry, target, trust] = process.argv.slice(2);
const maxBytes = 64 * 1024 * 1024;

// https://registry.npmjs.org/-/npm/v1/keys; an expired key is good for what was published before.
const keys = [
  {
    keyid: 'SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA', expires: '2025-01-29T00:00:00.000Z',
    key: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1Olb3zMAFFxXKHiIkQO5cJ3Yhl5i'
      + '6UPp+IhuteBJbuHcA5UogKo0EWtlWwW6KSaKoTNEYL7JlCQiVnkhBktUgg==',
  },
  {
    keyid: 'SHA256:DhQ8wR5APBvFHLF/+Tc+AYvPOdTpcIDqOhxsBHRwC7U', expires: null,
    key: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEY6Ya7W++7aUPzvMTrezH6Ycx3c+H'
      + 'OKYCcNGybJZSCJq/fd7Qa8uuAKtdIkUQtQiEKERhAmE5lMMJhP8OkDOa2g==',
  },
  ...(trust === '' ? [] : [JSON.parse(readFileSync(trust, 'utf8'))]),
];

try {
  const page = `${registry.replace(/\/+$/, '')}/${name}`;
  const { versions = {}, 'dist-tags': tags = {}, time = {} } = JSON.parse(await read(page));
  const version = Object.hasOwn(versions, wanted) ? wanted : tags[wanted];
  const isThere = Object.hasOwn(versions, version ?? '');
  const found = isThere ? versions[version] : fail(`the registry has no ${name}@${wanted}`);
  if (found.name !== name || found.version !== version) {
    fail(`the registry gives ${found.name}@${found.version} for ${name}@${version}`);
  }
  const { tarball, integrity = '', signatures = [] } = found.dist;
  if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity)) fail(`${name}@${version} has no sha512 integrity`);
  checkSignature(`${name}@${version}`, integrity, signatures, time[version]);
  if (registry.startsWith('https:') && !String(tarball).startsWith('https:')) fail(`${tarball} is not served by https`);
  const bytes = await read(tarball);
  const actual = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
  if (actual !== integrity) fail(`${tarball} is not what was signed: expected ${integrity}, received ${actual}`);
  writeFileSync(target, bytes);
} catch (error) {
  console.error(`install: cannot download: ${error.message}${error.cause?.code ? ` (${error.cause.code})` : ''}`);
  console.error('Behind a proxy or without a network: fetch the tarball by other means, and use --from FILE.');
  process.exitCode = 1;
}

function checkSignature(id, integrity, signatures, publishedAt) {
  const signed = signatures.flatMap(({ keyid, sig }) =>
    keys.filter((key) => key.keyid === keyid).map((key) => ({ ...key, sig })));
  if (signed.length === 0) fail(`${id} is not signed by a key that is trusted here`);
  for (const { keyid, key, sig } of signed) {
    const publicKey = createPublicKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'spki' });
    const isRight = verify('sha256', Buffer.from(`${id}:${integrity}`), publicKey, Buffer.from(sig, 'base64'));
    if (!isRight) fail(`${id} has a wrong signature of ${keyid}`);
  }
  const isValid = signed.some(({ expires }) => expires === null || Date.parse(publishedAt) < Date.parse(expires));
  if (!isValid) fail(`${id} was signed by a key that had expired`);
}

async function read(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(300_000) });
  if (!response.ok) fail(`${url} answers ${response.status}`);
  const chunks = [];
  let size = 0;
  for await (const chunk of response.body) {
    chunks.push(chunk);
    if ((size += chunk.length) > maxBytes) fail(`${url} is larger than ${maxBytes} bytes`);
  }
  return Buffer.concat(chunks);
}

function fail(message) {
  throw new Error(message);
}
END
}

unpack() {
  tar -xzf "$staging/package.tgz" -C "$staging" || die "cannot unpack ${from:-the tarball}"
  [ -f "$staging/package/dist/cli/main.js" ] || die "${from:-the tarball} is not $package as it is published"
  version=$(node -p 'JSON.parse(fs.readFileSync(process.argv[1])).version' "$staging/package/package.json")
  case $version in '' | *[!0-9A-Za-z.+-]* | .*) die "${from:-the tarball} has no proper version" ;; esac
  chmod +x "$staging/package/dist/cli/main.js"
  # A running service may still read the old files: they go last.
  [ ! -e "$prefix/$version" ] || mv "$prefix/$version" "$staging/old"
  mv "$staging/package" "$prefix/$version"
  echo "installed $package $version in $prefix/$version"
}

link() {
  ln -s "$prefix/$version/dist/cli/main.js" "$staging/sidecar"
  mv -f "$staging/sidecar" "$bin/sidecar"
  echo "linked $bin/sidecar"
  case :$PATH: in *":$bin:"*) ;; *) echo "$bin is not on your PATH: add it in your shell's profile" ;; esac
}

serve() {
  set -- install
  [ -z "$scope" ] || set -- "$@" "$scope"
  [ -z "$port" ] || set -- "$@" --port "$port"
  node "$prefix/$version/dist/cli/main.js" "$@" < /dev/null ||
    die "$package is installed, but not as a service. Start it yourself: $bin/sidecar serve --wrapper"
}

# Only what this script has written goes: DIR/VERSION folders of the program, and a link into them.
uninstall() {
  program=''
  for folder in "$prefix"/*; do
    is_program "$folder" && program=$folder/dist/cli/main.js
  done
  target=$(readlink "$bin/sidecar" || true)
  case $target in "$prefix"/*) [ ! -f "$target" ] || program=$target ;; *) target='' ;; esac
  if [ -z "$program" ] && [ -z "$target" ]; then
    echo "$package is not installed in $prefix"
    return
  fi
  set -- uninstall
  [ -z "$scope" ] || set -- "$@" "$scope"
  [ -z "$dry" ] || set -- "$@" --dry-run
  if [ "$service" = yes ] && [ -n "$program" ]; then
    node "$program" "$@" < /dev/null ||
      die "the service cannot be removed; --no-service leaves it, and removes the rest"
  fi
  [ -z "$target" ] || remove "$bin/sidecar"
  for folder in "$prefix"/*; do
    ! is_program "$folder" || remove "$folder"
  done
  [ -n "$dry" ] || rmdir "$prefix" 2> /dev/null || true
}

is_program() {
  [ -f "$1/dist/cli/main.js" ] && [ -f "$1/package.json" ] && grep -q "\"name\": *\"$package\"" "$1/package.json"
}

remove() {
  if [ -n "$dry" ]; then echo "would remove $1"; return; fi
  rm -rf "$1"
  echo "removed $1"
}

farewell() {
  echo "Start it with: $bin/sidecar serve --wrapper${port:+ --port $port}"
  echo "and try: curl -s http://127.0.0.1:${port:-8585}/health"
}

misuse() {
  echo "install: $1; see --help" >&2
  exit 2
}

die() {
  echo "install: $1" >&2
  exit 1
}

# In braces: without the last one, nothing of it runs.
{ main "$@"; exit; }
