/**
 * What a patch says, in whatever form it is written.
 * @module
 */

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
