/**
 * Warnings about a job in a persistent shell, which has no pipes for its output and cannot set variables of every name.
 * @module
 */
import type { Variables } from '../process/environment/secrets.ts';
import { byHandling } from '../process/environment/shell-variables.ts';
import { outputWay } from '../process/output-way.ts';
import type { PersistentProgram } from '../protocol/jobs/exec.ts';

const shownNames = 5;
const shownCharacters = 60;

/** Warnings in words. @param request.workdir Scripts are looked for there. */
export async function requestWarnings(
  { program, env, workdir }: {
    readonly program: PersistentProgram; readonly env: Variables; readonly workdir: string;
  },
): Promise<readonly string[]> {
  const foreign = Object.keys(byHandling(env).foreign);
  // An append truncates nothing.
  const command = program.command.replaceAll(/>>\s*\/(?:dev|proc)\//g, '>>');
  const truncates = await outputWay({ mode: 'shell', command }, { workdir }) === 'pipe';
  return [...(foreign.length === 0 ? [] : [notPassedOn(foreign)]), ...(truncates ? [mayTruncate] : [])];
}

const mayTruncate = 'the command names /dev/stdout or /dev/stderr, which are files in a persistent shell: '
  + 'opening one truncates it, and what was written before is lost; '
  + 'write >&1 or >&2, or >>/dev/stderr, or run it without a persistent shell';

function notPassedOn(names: readonly string[]): string {
  const shown = names.slice(0, shownNames).map((name) => JSON.stringify(name.slice(0, shownCharacters)));
  const more = names.length > shownNames ? ` and ${names.length - shownNames} more` : '';
  const list = `${shown.join(', ')}${more}`;
  return `not in the environment of the persistent shell, as no shell has variables of such names: ${list}`;
}
