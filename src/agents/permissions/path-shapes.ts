/**
 * Paths as models write them: with parts that a shell or a tool expands, and within patches.
 * @module
 */
import { homedir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { fieldsOf, listOf } from '../../base/loose.ts';

/** Paths that a shell would expand to something else: the home of another user, a variable. */
const expandedElsewhere = /^(?:~|\$[A-Z_][A-Z0-9_]*(?:\/|$)|\$\{)/;
/** File names in patches: those of codex (its apply_patch tool), and `+++` and `---` of diff(1). */
const patchLine = /^(?:\*\*\* (?:(?:Add|Update|Delete) File|Move to): |(?:\+\+\+|---) (?:[ab]\/)?)([^\t\n\r]+)/gm;
const patchBeginning = /^(?:\*\*\* Begin Patch|--- |diff --git )/m;
/** A longer patch is cut: a person cannot read the changes of a patch of this length. */
const maxPatchCharacters = 262_144;

/** The value as a path, if it can be one. A path that is expanded elsewhere becomes one outside of any sandbox. */
export function asPath(value: unknown): readonly string[] {
  if (typeof value !== 'string' || value === '') return [];
  // Many tools expand these as a shell does.
  if (/^(?:~|\$HOME|\$\{HOME\})(?:\/|$)/.test(value)) return [value.replace(/^(?:~|\$HOME|\$\{HOME\})/, homedir)];
  if (expandedElsewhere.test(value)) return [`/${value}`];
  if (!/^file:/i.test(value)) return [value];
  try {
    return [fileURLToPath(value)];
  } catch {
    // A path outside of any sandbox.
    return [`/${value}`];
  }
}

/** The paths in a field whose name says so: a text, a list of texts, or an object that holds them. */
export function pathsUnder(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return typeof value === 'object' ? Object.values(fieldsOf(value)) : [value];
}

/** A single object counts as a list of one. */
export function listOrOne(value: unknown): readonly unknown[] {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? [value] : listOf(value);
}

/** The files that a patch changes; none if the text is not a patch. */
export function pathsInPatch(text: unknown): readonly string[] {
  if (typeof text !== 'string' || !patchBeginning.test(text.slice(0, maxPatchCharacters))) return [];
  const found = [...text.slice(0, maxPatchCharacters).matchAll(patchLine)].map(([, path = '']) => path.trim());
  // The part that is cut off may name other files.
  return [
    ...found.filter((path) => path !== '/dev/null'),
    ...(text.length > maxPatchCharacters ? ['/the rest of a patch'] : []),
  ];
}
