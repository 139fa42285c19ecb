/**
 * Paths as models write them: with what a shell or a tool expands, and within patches.
 * @module
 */
import { homedir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { fieldsOf, listOf } from './lenient.ts';

/** What a shell would put something else for: the home of another user, a variable. */
const expandedElsewhere = /^(?:~|\$[A-Z_][A-Z0-9_]*(?:\/|$)|\$\{)/;
/** The patches of codex name their files so (its apply_patch tool), those of diff(1) by `+++` and `---`. */
const patchLine = /^(?:\*\*\* (?:(?:Add|Update|Delete) File|Move to): |(?:\+\+\+|---) (?:[ab]\/)?)([^\t\n\r]+)/gm;
const patchBeginning = /^(?:\*\*\* Begin Patch|--- |diff --git )/m;
/** More is cut: what a patch of this length changes nobody reads. */
const maxPatchCharacters = 262_144;

/** The path, as far as it can be one. What is expanded elsewhere names nothing that is in any jail. */
export function asPath(value: unknown): readonly string[] {
  if (typeof value !== 'string' || value === '') return [];
  // Many tools take it as a shell does.
  if (/^(?:~|\$HOME|\$\{HOME\})(?:\/|$)/.test(value)) return [value.replace(/^(?:~|\$HOME|\$\{HOME\})/, homedir)];
  if (expandedElsewhere.test(value)) return [`/${value}`];
  if (!/^file:/i.test(value)) return [value];
  try {
    return [fileURLToPath(value)];
  } catch {
    // It names nothing that is in the jail.
    return [`/${value}`];
  }
}

/** The paths under a name that says so: a text, a list of them, or an object that holds them. */
export function pathsUnder(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return typeof value === 'object' ? Object.values(fieldsOf(value)) : [value];
}

/** One thing stands for a list of one. */
export function listOrOne(value: unknown): readonly unknown[] {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? [value] : listOf(value);
}

/** The files that a patch changes; none where the text is no patch. */
export function pathsInPatch(text: unknown): readonly string[] {
  if (typeof text !== 'string' || !patchBeginning.test(text.slice(0, maxPatchCharacters))) return [];
  const found = [...text.slice(0, maxPatchCharacters).matchAll(patchLine)].map(([, path = '']) => path.trim());
  // What is cut off may name others.
  return [...found.filter((path) => path !== '/dev/null'), ...(text.length > maxPatchCharacters ? ['/the rest of a patch'] : [])];
}
