/**
 * A patch over several files: a unified diff, as `diff -u` and git write it, or the form between `*** Begin Patch` and
 * `*** End Patch` that models of OpenAI write. Its text is bytes, each a character (Latin-1), as that of the files.
 * @module
 */
import { parseEnvelope } from './envelope.ts';
import type { FilePatch } from './file-patch.ts';
import { parseUnified } from './unified.ts';

export function parsePatch(text: string): readonly FilePatch[] {
  const start = /^[ \t]*\*\*\* Begin Patch[ \t]*\r?$/m.exec(text);
  const isUnified = start === null || /^(?:--- |diff --git )/m.test(text.slice(0, start.index));
  return isUnified ? parseUnified(text) : parseEnvelope(text.slice(start.index));
}
