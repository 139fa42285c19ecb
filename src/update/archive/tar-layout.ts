/**
 * Decides where the entries of an npm tarball belong below a folder, and refuses those that belong nowhere.
 * @module
 */
import { TarballError } from '../errors.ts';

/** npm would accept any single folder here; it writes this one. */
const top = 'package';
/**
 * Bytes, including `package/`: leaves room for a target within the 260 characters of Windows, and is far below
 * PATH_MAX.
 */
const maxPathBytes = 240;

/**
 * Names that are devices in every folder, whatever follows the first dot:
 * https://learn.microsoft.com/windows/win32/fileio/naming-a-file
 */
const device = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])[ ]*(?:\.|$)/i;

interface LayoutEntry {
  readonly path: string;
  readonly kind: 'file' | 'directory';
  /** A folder that no entry names, only the path of something in it. */
  readonly isImplied: boolean;
}

/**
 * Keeps the paths of a tarball apart: each is used once, and differs from the others also on a disk that ignores case.
 */
export class TarLayout {
  readonly #maxPlaces: number;
  readonly #platform: NodeJS.Platform;
  /** The target itself is the first, and always exists. */
  readonly #places = new Map<string, LayoutEntry>([['', { path: '', kind: 'directory', isImplied: true }]]);

  /**
   * @param options.maxPlaces Largest number of files and folders, including folders that are only implied by a path.
   */
  constructor(options: { maxPlaces: number; platform?: NodeJS.Platform }) {
    this.#maxPlaces = options.maxPlaces;
    this.#platform = options.platform ?? process.platform;
  }

  /**
   * Finds the place of an entry.
   *
   * @returns Its path below the target, with slashes and without `package/`, and the folders, outermost first, that
   * must be made before.
   * @throws TarballError where it must not be unpacked.
   */
  place(name: string, kind: 'file' | 'directory'): { readonly path: string; readonly folders: readonly string[] } {
    const segments = segmentsOf(name, kind, this.#platform);
    const path = segments.join('/');
    const folders = parentsOf(segments)
      .filter((parent) => this.#take(name, { path: parent, kind: 'directory', isImplied: true }));
    const isNew = this.#take(name, { path, kind, isImplied: false });
    return { path, folders: kind === 'directory' && isNew ? [...folders, path] : folders };
  }

  /** @returns Whether the path is new. */
  #take(entry: string, place: LayoutEntry): boolean {
    const key = fold(place.path);
    const other = this.#places.get(key);
    const fault = other && conflict(place, other);
    if (fault !== undefined) throw new TarballError(fault, { entry });
    if (other && place.isImplied) return false;
    this.#places.set(key, place);
    if (this.#places.size - 1 > this.#maxPlaces) {
      throw new TarballError(`there are more than ${this.#maxPlaces} files and folders`, { entry });
    }
    return other === undefined;
  }
}

/** @returns The segments of the path without `package`: an empty list for that folder itself. */
function segmentsOf(name: string, kind: 'file' | 'directory', platform: NodeJS.Platform): string[] {
  const refuse = (reason: string): never => { throw new TarballError(reason, { entry: name }); };
  const fault = faultOfName(name);
  if (fault !== undefined) refuse(fault);
  // A directory may end in a slash.
  const [first, ...rest] = (kind === 'directory' ? name.replace(/\/$/, '') : name).split('/');
  for (const segment of [first ?? '', ...rest]) {
    const reason = faultOfSegment(segment) ?? (platform === 'win32' ? faultOnWindows(segment) : undefined);
    if (reason !== undefined) refuse(reason);
  }
  if (first !== top) refuse(`it is not inside ${top}/`);
  if (rest.length === 0 && kind === 'file') refuse(`${top} must be a folder`);
  return rest;
}

function faultOfName(name: string): string | undefined {
  if (name === '') return 'its name is empty';
  if (Buffer.byteLength(name) > maxPathBytes) return `its path is longer than ${maxPathBytes} bytes`;
  if (name.includes('\0')) return 'there is a NUL in its name';
  if (name.includes('\\')) return 'there is a backslash in its name';
  if (name.includes('\ufffd')) return 'its name is not UTF-8';
  return name.startsWith('/') ? 'its path is absolute' : undefined;
}

function faultOfSegment(segment: string): string | undefined {
  if (segment === '') return 'there is an empty segment in its path';
  return segment === '.' || segment === '..' ? `there is a "${segment}" in its path` : undefined;
}

function faultOnWindows(segment: string): string | undefined {
  if (device.test(segment)) return `Windows has a device of the name "${segment}"`;
  if (/[. ]$/.test(segment)) return 'Windows takes off the dot or space that a name ends in';
  return /[<>:"|?*\x01-\x1f]/.test(segment)
    ? 'there is a character in its name that Windows does not allow'
    : undefined;
}

/** The folders above a path, outermost first; without the target, which always exists. */
function parentsOf(segments: readonly string[]): string[] {
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'));
}

/** Equal for names that some disk treats as the same: macOS ignores case and how a character is composed. */
function fold(path: string): string {
  return path.normalize('NFD').toUpperCase().normalize('NFD');
}

function conflict(place: LayoutEntry, other: LayoutEntry): string | undefined {
  if (place.path !== other.path) {
    return `its path differs only by case, or how characters are composed, from "${other.path}"`;
  }
  if (place.kind === 'directory' && other.kind === 'file') {
    return `"${other.path}" is a file already, a folder is needed`;
  }
  if (place.kind === 'file' && other.kind === 'directory') return `"${other.path}" is a folder already`;
  return place.isImplied || other.isImplied ? undefined : 'it is there twice';
}
