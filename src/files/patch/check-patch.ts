/**
 * Carries a patch out on the files in memory: what does not fit is found before one byte is written.
 * @module
 */
import type { TextLine } from '../../protocol/files.ts';
import { ProblemError, type ProblemOptions } from '../../protocol/problem.ts';
import { asBytes } from '../edit/bytes.ts';
import { unifiedDiff } from '../edit/diff.ts';
import { applySplices, EditError, type Splice } from '../edit/edits.ts';
import { type SearchWork, searchWork } from '../edit/line-search.ts';
import { linesOf, shownLines } from '../edit/lines.ts';
import { nothing } from './names.ts';
import type { FilePatch, Hunk } from './file-patch.ts';
import { type Placement, placeHunks } from './place-hunks.ts';
import { contentBefore, contentOf, type WorkingFile, type WorkingFiles } from './working-files.ts';

/** Lines that are shown around a place. */
const around = 3;
/** Of so many files that do not fit, each is described. */
const mostFailures = 20;

/** A part of the patch that does not fit. */
interface Failure {
  readonly file: string;
  readonly hunk?: number;
  readonly reason: string;
  readonly lines?: readonly TextLine[];
}

/**
 * @param files Get what they will be.
 * @throws ProblemError edit_failed, with all that does not fit; file_not_found, not_a_file, not_text …
 */
export async function checkPatch(files: WorkingFiles, patches: readonly FilePatch[]): Promise<void> {
  const checker = new Checker(files, patches);
  const problems: ProblemError[] = [];
  for (const patch of patches) {
    try {
      await checker.apply(patch);
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      problems.push(error);
      if (problems.length === mostFailures) break;
    }
  }
  if (problems.length === 0) settleMoves(files);
  const [first] = problems;
  if (first === undefined) return;
  const failures = problems.map((problem): Failure => {
    const { failure } = problem.extensions;
    return failure === undefined ? { file: '', reason: problem.message } : failure as Failure;
  });
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more files do not fit, see failures)` : '';
  const { failure: _, ...extensions } = first.extensions;
  throw new ProblemError(first.code, `${first.message}${more}`, {
    cause: first, headers: first.headers, extensions: { ...extensions, failures },
  });
}

/** What cannot be done by a new name alone needs the content. @throws ProblemError not_text, payload_too_large. */
function settleMoves(files: WorkingFiles): void {
  const taken = new Set<WorkingFile>();
  for (const file of files.all()) {
    const { source, exists, content, isCopy, before, isExecutable } = file;
    if (!exists || source === undefined || content !== undefined) continue;
    const isName = isCopy !== true && before === undefined && isExecutable === undefined && !source.exists;
    if (isName && !taken.has(source)) taken.add(source);
    else file.content = contentBefore(source);
  }
}

class Checker {
  readonly #files: WorkingFiles;
  readonly #work: SearchWork = searchWork();
  /** Paths that another part of the patch removes: a file may be moved to one of them before. */
  readonly #leaving: Promise<ReadonlySet<WorkingFile>>;

  constructor(files: WorkingFiles, patches: readonly FilePatch[]) {
    this.#files = files;
    this.#leaving = this.#findLeaving(patches);
    this.#leaving.catch(() => undefined);
  }

  async apply(patch: FilePatch): Promise<void> {
    try {
      await this.#apply(patch);
    } catch (error) {
      throw asProblem(patch.name, error);
    }
  }

  async #findLeaving(patches: readonly FilePatch[]): Promise<ReadonlySet<WorkingFile>> {
    const found = new Set<WorkingFile>();
    for (const { action, name, from = name, isFromBefore } of patches) {
      if (action !== 'move' || isFromBefore !== true) continue;
      // What is wrong with it is said when its turn comes.
      const file = await this.#files.at(from, { isItself: true }).catch(() => undefined);
      if (file !== undefined) found.add(file);
    }
    return found;
  }

  async #apply(patch: FilePatch): Promise<void> {
    if (patch.action === 'create') return await this.#create(patch);
    if (patch.action === 'delete') return await this.#delete(patch);
    if (patch.action === 'edit') return await this.#edit(patch);
    return await this.#moveOrCopy(patch);
  }

  async #create(patch: FilePatch): Promise<void> {
    const file = await this.#files.at(patch.name);
    mustBeAbsent(file, patch.name);
    const { content } = this.#changed(patch.name, '', patch.hunks, file);
    Object.assign(file, { exists: true, content, source: undefined, isCopy: false, isExecutable: patch.isExecutable });
    file.diffs.push(diffOf(nothing, '', [{ start: 0, end: 0, text: content }], file.path));
  }

  async #delete({ name, hunks }: FilePatch): Promise<void> {
    const file = await this.#files.at(name, { isItself: true });
    mustBeThere(file, name);
    if (hunks.length > 0) {
      const { content } = this.#changed(name, contentOf(file), hunks, file);
      if (content !== '') {
        const reason = `it is to be deleted, and ${linesOf(content).count} lines of it are not in the patch`;
        throw failed(name, { file: name, reason });
      }
    }
    const old = file.content ?? (file.source ?? file).before?.content;
    if (typeof old === 'string') {
      file.diffs.push(diffOf(file.path, old, [{ start: 0, end: old.length, text: '' }], nothing));
    }
    Object.assign(file, { exists: false, content: undefined, source: undefined });
  }

  async #edit({ name, from, hunks, isExecutable }: FilePatch): Promise<void> {
    let file = await this.#files.at(name);
    if (!file.exists && from !== undefined) file = await this.#files.at(from);
    // `diff -N` and models say it so, too: a file that begins with nothing.
    if (!file.exists && onlyAdds(hunks)) return await this.#create({ action: 'create', name, hunks });
    mustBeThere(file, name);
    if (isExecutable !== undefined) file.isExecutable = isExecutable;
    if (hunks.length === 0) return;
    const old = contentOf(file);
    const { content, splices } = this.#changed(name, old, hunks, file);
    file.content = content;
    file.diffs.push(diffOf(file.path, old, splices, file.path));
  }

  async #moveOrCopy(patch: FilePatch): Promise<void> {
    const { action, name, from = name, hunks, isExecutable, isFromBefore = false } = patch;
    const source = await this.#files.at(from, { isItself: true });
    const target = await this.#files.at(name, { isItself: true });
    if (!(isFromBefore ? source.before !== undefined : source.exists)) mustBeThere({ exists: false }, from);
    if (source === target) throw failed(name, { file: name, reason: 'it is to be moved to where it is' });
    if (!(await this.#leaving).has(target)) mustBeAbsent(target, name);
    const origin = isFromBefore ? source : source.source ?? source;
    const isWhole = hunks.length === 0 && (isFromBefore || source.content === undefined);
    Object.assign(target, {
      exists: true, source: origin, isCopy: action === 'copy', content: undefined,
      isExecutable: isExecutable ?? (isFromBefore ? undefined : source.isExecutable),
    });
    if (!isWhole) {
      const old = isFromBefore ? contentBefore(source) : contentOf(source);
      const { content, splices } = this.#changed(name, old, hunks, target);
      target.content = content;
      target.diffs.push(...(isFromBefore ? [] : source.diffs), diffOf(source.path, old, splices, target.path));
    }
    if (action === 'copy' || target === source) return;
    // Another file may have come to its place already.
    if (isFromBefore && source.source !== undefined) return;
    Object.assign(source, { exists: false, content: undefined, source: undefined });
    if (!isFromBefore) source.diffs.length = 0;
  }

  #changed(
    name: string, content: string, hunks: readonly Hunk[], file: WorkingFile,
  ): { readonly content: string; readonly splices: readonly Splice[] } {
    let placement: Placement;
    try {
      placement = placeHunks(content, hunks, this.#work);
    } catch (error) {
      if (!(error instanceof EditError)) throw error;
      const { index, message, nearestLine } = error;
      throw failed(name, {
        file: name, hunk: index + 1, reason: message,
        ...(nearestLine === undefined
          ? {}
          : { lines: shownLines(linesOf(content), nearestLine - around, nearestLine + around) }),
      });
    }
    for (const { hunk, line, offsetLines, isLoose } of placement.hunks) {
      if (offsetLines === 0 && !isLoose) continue;
      file.notes.push({
        hunk, line, ...(offsetLines === 0 ? {} : { offsetLines }), ...(isLoose ? { matched: 'whitespace' } : {}),
      });
    }
    return { content: applySplices(content, placement.splices), splices: placement.splices };
  }
}

/** Whether a file that is not there is to be made by the hunks. */
function onlyAdds([first, ...more]: readonly Hunk[]): boolean {
  if (first === undefined || more.length > 0 || first.anchors.length > 0) return false;
  return (first.line ?? 1) === 1 && first.lines.every(({ mark }) => mark === '+');
}

function diffOf(oldPath: string, content: string, splices: readonly Splice[], newPath: string): string {
  const [from, to] = [oldPath, newPath].map(asBytes);
  return unifiedDiff(from ?? '', content, splices, to);
}

function mustBeThere({ exists }: Pick<WorkingFile, 'exists'>, name: string): void {
  if (exists) return;
  const reason = 'there is no such file';
  throw new ProblemError('file_not_found', `Cannot patch ${name}: ${reason}`, {
    extensions: { failure: { file: name, reason } },
  });
}

function mustBeAbsent({ exists }: WorkingFile, name: string): void {
  if (exists) throw failed(name, { file: name, reason: 'it is to be made, and there is a file already' });
}

function failed(name: string, failure: Failure): ProblemError {
  const { hunk, reason, file, lines } = failure;
  const where = hunk === undefined ? '' : `hunk ${hunk}: `;
  return new ProblemError('edit_failed', `Cannot patch ${name}: ${where}${reason}`, {
    extensions: { file, ...(hunk === undefined ? {} : { hunk }), ...(lines === undefined ? {} : { lines }), failure },
  });
}

/** Any failure, with the file that it is about. */
function asProblem(name: string, error: unknown): unknown {
  if (!(error instanceof ProblemError) || error.extensions['failure'] !== undefined) return error;
  const { code, message, headers, extensions } = error;
  const options: ProblemOptions = {
    cause: error, headers, extensions: { ...extensions, file: name, failure: { file: name, reason: message } },
  };
  return new ProblemError(code, message, options);
}
