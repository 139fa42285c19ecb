/**
 * What a binary file is, by its first bytes.
 * @module
 */

/** The first bytes in Latin-1, and the media type (https://www.iana.org/assignments/media-types). */
const beginnings: readonly (readonly [begin: string, type: string])[] = [
  ['\x89PNG\r\n\x1a\n', 'image/png'], ['\xff\xd8\xff', 'image/jpeg'], ['GIF8', 'image/gif'], ['BM', 'image/bmp'],
  ['%PDF-', 'application/pdf'], ['PK\x03\x04', 'application/zip'], ['PK\x05\x06', 'application/zip'],
  ['\x1f\x8b', 'application/gzip'], ['BZh', 'application/x-bzip2'], ['\xfd7zXZ\0', 'application/x-xz'],
  ['\x28\xb5\x2f\xfd', 'application/zstd'], ['7z\xbc\xaf\x27\x1c', 'application/x-7z-compressed'],
  ['\x7fELF', 'application/x-elf'], ['MZ', 'application/vnd.microsoft.portable-executable'],
  ['\xca\xfe\xba\xbe', 'application/java-vm'], ['\0asm', 'application/wasm'],
  ['SQLite format 3\0', 'application/vnd.sqlite3'], ['OggS', 'audio/ogg'], ['ID3', 'audio/mpeg'],
  ['fLaC', 'audio/flac'],
];

/** `undefined`: it is not known. */
export function contentType(bytes: Buffer): string | undefined {
  const begin = bytes.toString('latin1', 0, 16);
  if (begin.startsWith('RIFF') && bytes.toString('latin1', 8, 12) === 'WEBP') return 'image/webp';
  if (bytes.toString('latin1', 4, 8) === 'ftyp') return 'video/mp4';
  return beginnings.find(([known]) => begin.startsWith(known))?.[1];
}
