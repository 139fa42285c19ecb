/**
 * Texts by which a rule that denies or asks finds a command, however it is written for a shell. Pure.
 *
 * No shell is read here: what is quoted counts as said, and more is found than would run.
 * @module
 */

/** The `&` of `2>&1` is none. */
const separators = /(?:[;|\n\r()`{}]|(?<![<>])&)+/;
/** Words before a command that are not its name: assignments, redirections, reserved words, and what runs the rest. */
const before = new RegExp(`^(?:(?:${[
  String.raw`\w+\+?=(?:"[^"]*"|'[^']*'|[^\s"'])*`, String.raw`\d*[<>]+&?\s*[^\s<>]+`,
  '!|if|then|elif|else|while|until|do|time|exec|command|builtin|eval|env|nohup|sudo|doas|xargs',
].join('|')})\\s+)+`);

/** The whole text and its parts: without what stands before a command, without quotes, and without its directory. */
export function wideCommands(text: string): readonly string[] {
  const parts = text.replaceAll(/\\\r?\n/g, '').split(separators).map((part) => part.trim().replace(before, ''));
  const plain = [text, ...parts].flatMap((part) => [part, part.replaceAll(/\$?["']|\\/g, '')])
    .map((part) => part.trim().replaceAll(/\s+/g, ' '));
  const names = plain.map((part) => part.replace(/^[^\s=]*\//, ''));
  return [...new Set([text, ...plain, ...names])].filter((part) => part !== '');
}
