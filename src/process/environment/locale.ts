/**
 * A UTF-8 locale for programs that show text: without one, glibc has only ASCII, and editors and agents show `?` for
 * every other letter.
 * @module
 */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import type { Environment, Variables } from './secrets.ts';

/** The first of these that is set decides the character set (locale(7)). */
const deciding = ['LC_ALL', 'LC_CTYPE', 'LANG'];
/** Locale folders of glibc, of other systems, and of macOS. */
const folders = ['/usr/lib/locale', '/usr/lib64/locale', '/usr/share/locale'];
const archives = ['/usr/lib/locale/locale-archive', '/usr/lib64/locale/locale-archive'];
/**
 * localedef(1), `struct locarhead` of glibc: a magic number; its 6th and 7th words are offset and length of the names.
 */
const archiveMagic = 0xde020109;
const headBytes = 28;
const longestNames = 2 ** 20;

/**
 * Variables to lay over an environment without a locale, for programs that show text; empty where the machine has no
 * UTF-8 locale.
 */
export function utf8Locale(
  environment: Environment,
  locale: string | undefined = (known ??= { locale: findUtf8Locale() }).locale,
): Variables {
  return locale === undefined || deciding.some((name) => environment[name]) ? {} : { LC_CTYPE: locale };
}

/** Cached: finding it reads several files. */
let known: { readonly locale: string | undefined } | undefined;

/** The best UTF-8 locale of the machine, as `locale -a` would list it, by its name for the environment. */
export function findUtf8Locale(platform: NodeJS.Platform = process.platform): string | undefined {
  if (platform === 'win32') return undefined;
  const names = [...folders.flatMap(namesIn), ...archives.flatMap(namesInArchive)]
    .filter((name) => /\.utf-?8$/i.test(name));
  const has = (name: string): boolean => names.some((other) => normal(other) === normal(name));
  if (has('C.UTF-8')) return 'C.UTF-8';
  if (has('en_US.UTF-8')) return 'en_US.UTF-8';
  // Without any files it is musl, whose every locale is UTF-8, or a glibc without locales, where the name does no harm.
  return names[0] ?? (platform === 'linux' ? 'C.UTF-8' : undefined);
}

function normal(name: string): string {
  return name.toLowerCase().replaceAll('-', '');
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function namesInArchive(path: string): readonly string[] {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return [];
  }
  try {
    const head = Buffer.alloc(headBytes);
    if (readSync(fd, head, 0, headBytes, 0) < headBytes || head.readUInt32LE(0) !== archiveMagic) return [];
    const names = Buffer.alloc(Math.min(head.readUInt32LE(24), longestNames));
    return names.subarray(0, readSync(fd, names, 0, names.length, head.readUInt32LE(20))).toString('latin1')
      .split('\0');
  } catch {
    return [];
  } finally {
    closeSync(fd);
  }
}
