/**
 * The calls of the machine's files.
 * @module
 */
import { endpoint } from '../endpoint.ts';
import {
  deleteQuery, fileDeleted, fileInfo, fileList, fileText, fileWritten, type FileWritten,
  listQuery, mkdirRequest, moveRequest, readQuery, statQuery, textQuery, type UploadProgress, uploadProgress,
  writeQuery,
} from '../files.ts';
import { findRecord, findRequest } from '../files/find.ts';
import { watchQuery } from '../files/watch.ts';
import { archiveUnpacked, packQuery, unpackQuery } from '../files/archive.ts';
import { editAnswer, editBody } from '../files/patch.ts';
import type { Parser } from '../../base/parse.ts';

const always = ['file_not_found', 'path_not_allowed', 'file_unusable'] as const;
const written: Parser<FileWritten | UploadProgress> = fileWritten;
const progress: Parser<FileWritten | UploadProgress> = uploadProgress;

export const readFile = endpoint('GET', '/files', {
  summary: 'The bytes of a file',
  description: 'Only regular files; of a directory, 409 says what it is. HEAD tells in Upload-Offset how much of an '
    + 'upload in parts has arrived, also where there is no file yet.',
  query: readQuery,
  headers: {
    'Range': 'One range of bytes: 206', 'If-Range': 'The range only of the file with this tag, else all of it',
    'If-None-Match': 'The ETag of what the client has: 304 where it still holds',
  },
  answers: {
    200: { description: 'The whole file; ETag names its content', type: 'application/octet-stream' },
    206: { description: 'The range, or the end that was asked for', type: 'application/octet-stream' },
    304: { description: 'The client has it already' },
  },
  problems: [...always, 'not_a_file', 'range_not_satisfiable'],
});

export const readTextFile = endpoint('GET', '/files/text', {
  summary: 'Lines of a text file, with their numbers',
  description: 'For models. Files of up to 16 MiB; of a line the first 2,000 characters, of all lines about a million. '
    + 'A binary file is refused, with its type.',
  query: textQuery,
  answers: { 200: { description: 'The lines', body: fileText } },
  problems: [...always, 'not_a_file', 'not_text'],
});

export const writeFile = endpoint('PUT', '/files', {
  summary: 'Writes a file of any size',
  description: 'The body is written beside the file and takes its place in one step, once it is complete and on the '
    + 'disk: a reader sees the old file or the new one, also after a crash. With Content-Range the body is a part: '
    + 'parts arrive in order, and what of one has arrived before a connection broke is kept for a day; HEAD says how '
    + 'much is there, and the last part makes the file.',
  query: writeQuery,
  body: 'stream',
  headers: {
    'If-Match': 'The ETag that the file must still have, else 412',
    'If-None-Match': '*: there must be no file, else 412',
    'Content-Range': 'bytes FIRST-LAST/SIZE: the body is this part of the file; bytes */SIZE, without a body: all '
      + 'parts are there',
  },
  answers: {
    200: { description: 'The file was replaced', body: written },
    201: { description: 'The file is new', body: written },
    202: { description: 'The part has arrived', body: progress },
  },
  problems: [...always, 'not_a_file', 'file_changed', 'wrong_offset', 'storage_full'],
});

export const editFile = endpoint('POST', '/files/edit', {
  summary: 'Edits a text file, or applies a patch to several files',
  description: 'Exact text, which must be there once, or lines by their numbers as the file was read; all checked '
    + 'before one byte changes, and written in one step. Line endings, a byte order mark and a missing last newline '
    + 'stay. Old text that is there only with other blanks, once, counts as found: `edits` of the answer says so. An '
    + 'edit that does not fit says why, and shows the nearest place in `lines`. With `patch` several files at once are '
    + 'made, edited, moved and deleted: all hunks are checked before one byte changes, and what was written is put '
    + 'back where a later file cannot be.',
  body: editBody,
  example: { path: '/srv/app/config.ini', edits: [{ old: 'port = 80', new: 'port = 8080' }], dryRun: true },
  isIdempotent: true,
  answers: { 200: { description: 'The diff of what was changed; of a patch, for each file', body: editAnswer } },
  problems: [...always, 'not_a_file', 'not_text', 'edit_failed', 'file_changed', 'storage_full'],
});

export const deleteFile = endpoint('DELETE', '/files', {
  summary: 'Deletes a file, a link or a directory',
  query: deleteQuery,
  answers: { 200: { description: 'It is gone', body: fileDeleted } },
  problems: [...always, 'directory_not_empty'],
});

export const statFile = endpoint('GET', '/files/stat', {
  summary: 'What a path leads to: type, size, permissions, time',
  query: statQuery,
  answers: { 200: { description: 'The file; of a regular one with its ETag', body: fileInfo } },
  problems: always,
});

export const listFiles = endpoint('GET', '/files/list', {
  summary: 'Lists a directory, page by page',
  description: 'What vanishes meanwhile is left out.',
  query: listQuery,
  answers: { 200: { description: 'The page', body: fileList } },
  problems: [...always, 'not_a_file'],
});

export const makeDirectory = endpoint('POST', '/files/mkdir', {
  summary: 'Makes a directory',
  body: mkdirRequest,
  example: { path: '/srv/app/data', mkdirs: true },
  isIdempotent: true,
  answers: {
    200: { description: 'It was there already', body: fileInfo }, 201: { description: 'It is there', body: fileInfo },
  },
  problems: [...always, 'file_exists', 'storage_full'],
});

export const moveFile = endpoint('POST', '/files/move', {
  summary: 'Gives a file, a link or a directory another path',
  body: moveRequest,
  example: { from: '/srv/app/new.json', to: '/srv/app/config.json', overwrite: true },
  isIdempotent: true,
  answers: { 200: { description: 'It is there', body: fileInfo } },
  problems: [...always, 'file_exists', 'directory_not_empty', 'storage_full'],
});

export const copyFile = endpoint('POST', '/files/copy', {
  summary: 'Copies a file, a link or a directory with all that is in it',
  description: 'Permissions are kept. It is copied under another name first: there is never half of it.',
  body: moveRequest,
  example: { from: '/srv/app', to: '/srv/app-before' },
  isIdempotent: true,
  answers: { 200: { description: 'The copy is there', body: fileInfo } },
  problems: [...always, 'not_a_file', 'file_exists', 'directory_not_empty', 'storage_full'],
});

export const packFiles = endpoint('GET', '/files/archive', {
  summary: 'A directory or a file as a tar archive',
  description: 'As a stream. The trailer X-Archive-Status ends it: complete, or changed and what changed while it was '
    + 'read. Where tar fails, the connection breaks off: what arrived is no archive. FIFOs and '
    + 'devices are in it, too, but PUT does not unpack them.',
  query: packQuery,
  answers: { 200: { description: 'The archive; application/gzip for tar.gz', type: 'application/x-tar' } },
  problems: [...always, 'not_a_file', 'not_supported'],
});

export const unpackFiles = endpoint('PUT', '/files/archive', {
  summary: 'Unpacks a tar archive into a directory',
  description: 'The body is tar or tar.gz. It is unpacked beside the directory and looked at first: files, directories '
    + 'and links that stay within the directory, nothing else. A new directory then comes in one step; in one that is '
    + 'there each file is replaced in one step, and what the archive does not have stays. Owners are not kept, nor '
    + 'setuid and setgid.',
  query: unpackQuery,
  body: 'stream',
  answers: {
    200: { description: 'It is in the directory', body: archiveUnpacked },
    201: { description: 'The directory is new', body: archiveUnpacked },
  },
  problems: [...always, 'not_a_file', 'file_exists', 'directory_not_empty', 'storage_full', 'not_supported'],
});

export const findFiles = endpoint('POST', '/files/find', {
  summary: 'Finds files by name and by content',
  description: 'The answer is JSON, one value a line, as it is found: `begin`, then each `match` with the `context` '
    + 'around it (or, by name alone, each `file`), and `end`, which says whether there may be more. It ends when the '
    + 'client leaves. What .gitignore leaves out is left out, unless `ignored`; binary files are, and links are not '
    + 'followed. ripgrep searches where the machine has it, else the server itself, with the same answer.',
  body: findRequest,
  example: { path: '/srv/app', regex: 'TODO|FIXME', glob: ['*.ts', '!dist'], context: 2 },
  answers: { 200: { description: 'What was found, a line each', type: 'application/x-ndjson', body: findRecord } },
  problems: [...always, 'not_a_file', 'unavailable'],
});

export const watchFiles = endpoint('GET', '/files/watch', {
  summary: 'Follows what is created, changed and deleted below a directory, or of a file',
  description: 'Server-sent events. `ready` comes first: what is listed after it misses no change. Then `created`, '
    + '`changed` and `deleted`, gathered for 50 ms; of a directory that is deleted or moved away only itself is told, '
    + 'of a new one also what is in it. `lost` says that events were lost: list again. `gone` is the last one, once '
    + 'the directory itself has been deleted. Links are not followed. A comment every 15 s.',
  query: watchQuery,
  headers: { 'Last-Event-ID': 'Continue after this event.' },
  answers: { 200: { description: 'The events', type: 'text/event-stream' } },
  problems: [...always, 'payload_too_large', 'unavailable'],
});
