/**
 * The texts by which a rule that denies or asks matches a command, however it is written for a shell. Pure.
 *
 * The text is not parsed as a shell parses it: quoted text counts, so that more matches than would run.
 * @module
 */

/** The `&` of `2>&1` is not a separator. */
const separators = /(?:[;|\n\r()`{}]|(?<![<>])&)+/;
/** Words before the name of a command: assignments, redirections, reserved words, and programs that run the rest. */
const before = new RegExp(`^(?:(?:${[
  String.raw`\w+\+?=(?:"[^"]*"|'[^']*'|[^\s"'])*`, String.raw`\d*[<>]+&?\s*[^\s<>]+`,
  '!|if|then|elif|else|while|until|do|time|exec|command|builtin|eval|env|nohup|sudo|doas|xargs',
].join('|')})\\s+)+`);

/**
 * The whole text and its parts: without the words before a command, without quotes, and without the command's
 * directory.
 */
export function wideCommands(text: string): readonly string[] {
  const parts = text.replaceAll(/\\\r?\n/g, '').split(separators).map((part) => part.trim().replace(before, ''));
  const plain = [text, ...parts].flatMap((part) => [part, part.replaceAll(/\$?["']|\\/g, '')])
    .map((part) => part.trim().replaceAll(/\s+/g, ' '));
  const names = plain.map((part) => part.replace(/^[^\s=]*\//, ''));
  return [...new Set([text, ...plain, ...names])].filter((part) => part !== '');
}
