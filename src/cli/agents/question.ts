/**
 * Puts an agent's request for permission to the person at the terminal.
 * @module
 */
import { exposeText } from '../../base/text/escape.ts';
import { type AskedPermission, optionFor } from '../../client/client.ts';
import { type Paint, fields, oneLine, terminalWidth } from '../io/print.ts';
import { write } from '../io/streams.ts';
import { readLine } from '../io/keyboard.ts';

/** `leave`: another client is to answer. `interrupt`: the turn is to end. `decided`: it was decided elsewhere. */
export type PromptAnswer = { readonly optionId: string } | 'leave' | 'interrupt' | 'decided';

const kinds: { readonly [kind: string]: string } = {
  allow_once: 'allow once', allow_always: 'allow always', reject_once: 'reject', reject_always: 'reject always',
};

/** The lines of the question, without the prompt for the answer. */
export function questionLines(
  { kind, tools, paths, commands, options }: AskedPermission, paint: Paint,
): readonly string[] {
  const title = tools.at(-1);
  return [
    `${paint('yellow', '?')} ${
      paint('bold', oneLine(`The agent asks permission: ${kind}`))
    }${title === undefined ? '' : `  ${exposeText(title)}`}`,
    ...fields(subjectOf({ commands, paths }), { indent: '    ', width: terminalWidth(process.stderr) }),
    ...options.map((option, index) => `  ${index + 1}) ${oneLine(optionInWords(option))}`),
  ];
}

/** The commands and paths, with every character visible: what cannot be seen must not be approved. */
export function subjectOf(
  { commands, paths }: Pick<AskedPermission, 'commands' | 'paths'>,
): readonly (readonly [name: string, text: string])[] {
  return [
    ...commands.map((command) => ['command', exposeText(command)] as const),
    ...paths.map((path) => ['path', exposeText(path)] as const),
  ];
}

/** Says what an option does, by its kind; an agent may give it any name. */
export function optionInWords({ optionId, kind, name }: AskedPermission['options'][number]): string {
  const word = kinds[kind] ?? kind;
  return name === undefined || name.toLowerCase() === word ? `${word} (${optionId})` : `${word} (${name})`;
}

/** The id of the option that was typed, as a number, `y`, `n` or an id. `undefined`: no option fits. */
export function parseOption(permission: AskedPermission, typed: string): string | undefined {
  const word = typed.trim().toLowerCase();
  if (/^\d{1,4}$/.test(word)) return permission.options[Number(word) - 1]?.optionId;
  if (word === 'y' || word === 'yes') return optionFor(permission, 'approve');
  if (word === 'n' || word === 'no') return optionFor(permission, 'deny');
  return word === '' ? undefined : optionFor(permission, typed.trim());
}

/** Asks until an option is typed. @param signal Aborts when the request was decided elsewhere. */
export async function askPermission(
  permission: AskedPermission, { paint, signal }: { readonly paint: Paint; readonly signal: AbortSignal },
): Promise<PromptAnswer> {
  await write(`${questionLines(permission, paint).join('\n')}\n`, process.stderr);
  for (;;) {
    const typed = await readLine(`y, n or 1-${permission.options.length}: `, { signal, isKept: false });
    switch (typed.type) {
      case 'aborted': return 'decided';
      case 'interrupt': return 'interrupt';
      case 'end': return 'leave';
      case 'line': {
        const optionId = parseOption(permission, typed.text);
        if (optionId !== undefined) return { optionId };
      }
    }
  }
}
