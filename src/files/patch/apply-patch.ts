/**
 * Applies a patch: checked against all its files first, then written file by file, each in one step. Where that fails
 * in the middle, what was written is put back.
 * @module
 */
import { join } from 'node:path';
import { inDirectory } from '../../base/files/real-path.ts';
import type { Roots } from '../../base/files/roots.ts';
import type { FilesPatched, PatchAction, PatchedFile, PatchRequest } from '../../protocol/files/patch.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { asBytes, asText } from '../edit/bytes.ts';
import { linesOf, mostShownLines, shownLines } from '../edit/lines.ts';
import { checkPatch } from './check-patch.ts';
import { PatchError } from './patch-error.ts';
import type { FilePatch } from './file-patch.ts';
import { parsePatch } from './patch.ts';
import { type WorkingFile, WorkingFiles } from './working-files.ts';
import { type Change, type PatchContext, writeAll, type Written } from './write-patch.ts';

/** As many patches of one file may come at once. */
const mostTries = 100;

/**
 * @throws ProblemError invalid_request for what is no patch, edit_failed, file_changed, not_text, payload_too_large; as
 *   `Writer.write`.
 */
export async function applyPatch(context: PatchContext, request: PatchRequest): Promise<FilesPatched> {
  const patches = parsed(request.patch);
  for (let tries = 1; ; tries += 1) {
    const patched = await tryPatch(context, request, patches, tries < mostTries);
    if (patched !== undefined) return patched;
  }
}

function parsed(patch: string): readonly FilePatch[] {
  try {
    return parsePatch(asBytes(patch));
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    const file = error.file === undefined ? '' : ` for ${error.file}`;
    throw new ProblemError('invalid_request', `Cannot read the patch${file}: ${error.message}`, { cause: error });
  }
}

/** @returns `undefined`: another edit came in between, and all is as it was. */
async function tryPatch(
  context: PatchContext, { path = '.', etags = {}, dryRun = false }: PatchRequest, patches: readonly FilePatch[],
  mayTryAgain: boolean,
): Promise<FilesPatched | undefined> {
  const files = new WorkingFiles(context.roots, path);
  await checkTags(context.roots, path, files, etags, patches);
  await checkPatch(files, patches);
  const changes = changesOf(files);
  if (dryRun || changes.length === 0) return { files: changes.map((change) => answerOf(change)), written: false };
  try {
    const written = await writeAll(context, changes);
    return { files: changes.map((change) => answerOf(change, written.get(change.file))), written: true };
  } catch (error) {
    const { code, extensions = {} } = error instanceof ProblemError ? error : {};
    if (mayTryAgain && code === 'file_changed' && extensions['notPutBack'] === undefined) return undefined;
    throw error;
  }
}

/** @throws ProblemError file_changed, with the lines that are there now; invalid_request for a name without a patch. */
async function checkTags(
  roots: Roots, base: string, files: WorkingFiles, etags: { readonly [name: string]: string },
  patches: readonly FilePatch[],
): Promise<void> {
  const named = new Set(patches.flatMap(({ name, from = name }) => [name, from]));
  const fullPath = (name: string): string => join(inDirectory(inDirectory(roots.base, base), name));
  const paths = new Map([...named].map((name) => [fullPath(name), name]));
  for (const [given, etag] of Object.entries(etags)) {
    const name = paths.get(fullPath(given));
    if (name === undefined) throw new ProblemError('invalid_request', `Cannot read etags: the patch names no ${given}`);
    const file = await files.at(name);
    const now = file.before?.etag;
    if (now === etag) continue;
    const hunks = patches.filter((one) => one.name === name || one.from === name).flatMap((one) => one.hunks);
    throw new ProblemError('file_changed', `Cannot patch ${name}: it has changed, its ETag is ${now ?? 'gone'}`, {
      extensions: { file: name, etag: now ?? null, lines: placesOf(file, hunks) },
    });
  }
}

function placesOf({ before }: WorkingFile, hunks: FilePatch['hunks']): ReturnType<typeof shownLines> {
  if (typeof before?.content !== 'string') return [];
  const lines = linesOf(before.content);
  const found = hunks.slice(0, 20).flatMap((hunk) => {
    const old = hunk.lines.filter(({ mark }) => mark !== '+').map(({ text }) => text);
    const nearest = lines.nearest(old.join('\n'));
    return nearest === undefined ? [] : shownLines(lines, nearest - 3, nearest + old.length + 2);
  });
  const once = [...new Map(found.map((line) => [line.number, line])).values()];
  return once.sort((a, b) => a.number - b.number).slice(0, mostShownLines);
}

function changesOf(files: WorkingFiles): readonly Change[] {
  const all = files.all();
  const moved = new Set(all.filter(({ exists, isCopy }) => exists && isCopy !== true).map(({ source }) => source));
  return all.flatMap((file) => {
    const action = actionOf(file, moved.has(file));
    return action === undefined ? [] : [{ file, action }];
  });
}

/** `undefined`: the patch leaves it as it is, or what is done is said of another path. */
function actionOf(file: WorkingFile, isMoved: boolean): PatchAction | undefined {
  const { before, exists, source, isCopy, content, isExecutable } = file;
  if (!exists) return before === undefined || isMoved ? undefined : 'deleted';
  if (source !== undefined && isCopy !== true) return 'moved';
  if (before === undefined) return 'created';
  const isSame = source === undefined && (content === undefined || content === before.content);
  return isSame && isExecutable === undefined ? undefined : 'edited';
}

function answerOf({ file, action }: Change, written?: Written): PatchedFile {
  const { path, source, diffs, notes, before } = file;
  const tag = written ?? (action === 'edited' && before !== undefined ? { etag: before.etag } : undefined);
  return {
    path, action, ...(source === undefined ? {} : { from: source.path }),
    diff: asText(diffs.join('')), ...tag, ...(notes.length > 0 ? { hunks: notes } : {}),
  };
}
