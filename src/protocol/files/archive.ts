/**
 * Archives of files: requests and answers.
 * @module
 */
import {
  boolean, described, flag, fromText, integer, object, oneOf, optional, type Parsed, repeated, text,
} from '../../base/parse.ts';
import { count, shape, string } from '../answer.ts';
import { anyPath } from '../files.ts';

export type ArchiveFormat = 'tar' | 'tar.gz';

/** Of an archive that is unpacked, where a request names no others. */
export const defaultMaxEntries = 1_000_000;
export const defaultMaxBytes: number = 64 * 2 ** 30;

/** The trailer of an archive: `complete`, or `changed; ` and what changed while it was read. */
export const statusTrailer = 'X-Archive-Status';

const patterns = repeated(text({ min: 1, max: 1000 }), { max: 100 });

export const packQuery = object({
  path: anyPath,
  format: described('Default tar.', optional(oneOf('tar', 'tar.gz'))),
  glob: described(
    'Only what matches: *.ts by name anywhere, src/**/*.ts by path. May be given several times. What is in a directory '
      + 'that matches comes with it.',
    optional(patterns),
  ),
});
export type PackQuery = Parsed<typeof packQuery>;

const limit = fromText(integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));

export const unpackQuery = object({
  path: anyPath,
  mkdirs: described('Make the missing directories above it.', optional(flag)),
  keepModes: described(
    'Permissions exactly as in the archive, also of directories that are there. Default: what the umask leaves, and '
      + 'directories that are there keep theirs. Never setuid, setgid and sticky.',
    optional(flag),
  ),
  links: described(
    'Which links may be in it. inside: only those that stay within the directory; any: all, without --files-root. '
      + 'Default inside.',
    optional(oneOf('inside', 'any')),
  ),
  maxEntries: described(`The most files, directories and links. Default ${defaultMaxEntries}.`, optional(limit)),
  maxBytes: described(
    `The most bytes of the archive without compression, and of its files. Default ${defaultMaxBytes}.`, optional(limit),
  ),
});
export type UnpackQuery = Parsed<typeof unpackQuery>;

/** What came out of an archive. */
export interface ArchiveUnpacked {
  readonly path: string;
  readonly files: number;
  readonly directories: number;
  readonly links: number;
  /** Of the files together. */
  readonly sizeBytes: number;
  /** The directory is new. */
  readonly created: boolean;
}

export const archiveUnpacked = shape<ArchiveUnpacked>({
  path: described('Without links', string), files: count, directories: count, links: count,
  sizeBytes: described('Of the files together', count), created: described('The directory is new', boolean),
}, { name: 'an unpacked archive', relies: ['files'] });
