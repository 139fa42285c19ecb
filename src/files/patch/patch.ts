/**
 * A patch over several files: a unified diff, as `diff -u` and git write it, or the form between `*** Begin Patch` and
 * `*** End Patch` that models of OpenAI write. Its text is bytes, each a character (Latin-1), as that of the files.
 * @module
 */
import { parseEnvelope } from './envelope.ts';
import { parseUnified } from './unified.ts';

export interface HunkLine {
  /** It stays, goes or comes. */
  readonly mark: ' ' | '-' | '+';
  /** Without its newline; a carriage return before it is part of the text. */
  readonly text: string;
  /** It is said to have no newline at its end. */
  readonly isOpen?: boolean;
}

export interface Hunk {
  /** Where its first line is said to be, from 1; of one without lines to find: the line that it comes before. */
  readonly line?: number;
  /** Lines that come before it in the file, one after the other: `@@ class A`. */
  readonly anchors: readonly string[];
  readonly lines: readonly HunkLine[];
  /** It is at the end of the file. */
  readonly isAtEnd?: boolean;
}

/** What a patch does to one file. Names are as in the patch. */
export interface FilePatch {
  readonly action: 'create' | 'edit' | 'delete' | 'move' | 'copy';
  /** Of the file as it is then. */
  readonly name: string;
  /** Of a move or copy: the file as it was; of an edit: another name that is meant where this one is missing. */
  readonly from?: string;
  readonly hunks: readonly Hunk[];
  readonly isExecutable?: boolean;
  /** The source of a move or copy is meant as it was before the patch: git's are, the other form's are not. */
  readonly isFromBefore?: boolean;
}

export function parsePatch(text: string): readonly FilePatch[] {
  const start = /^[ \t]*\*\*\* Begin Patch[ \t]*\r?$/m.exec(text);
  const isUnified = start === null || /^(?:--- |diff --git )/m.test(text.slice(0, start.index));
  return isUnified ? parseUnified(text) : parseEnvelope(text.slice(start.index));
}
