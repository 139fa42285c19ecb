/**
 * Completes words of a command line by what the machine of the session has: programs and files. Pure.
 *
 * The text for a shell that looks for them runs in a subshell of the session, so it knows the session's directory and variables, and changes
 * nothing there. Nothing that was typed is expanded, but a `~` and a variable at the beginning of the word.
 * @module
 */
import { quote } from '../base/shell-word.ts';

/** The word before the cursor. */
export interface Word {
  /** As it was typed, from its first character to the cursor. */
  readonly typed: string;
  /** The part of it that stays as it is: `~/My\ files/`. */
  readonly kept: string;
  /** The directory for the shell, without what could be expanded but a `~` or a variable: `~/'My files/'`. */
  readonly directory: string;
  /** The beginning of the name, without quotes. */
  readonly name: string;
  /** The quote that is open at the cursor. */
  readonly quote: '' | '"' | "'";
  /** It is the name of a command: nothing but an operator or a keyword stands before it. */
  readonly isCommand: boolean;
}

export const mostCandidates = 500;
const startsCommand = /(?:^|[|&;({!]|\b(?:do|then|else|elif|if|while|until|time|exec|sudo|command|env|nohup))\s*$/;
const reserved = /[^\w./:=@%+,\-\u0080-\uffff]/g;

/** The word that ends a line. */
export function wordAt(line: string): Word {
  const { start, open, characters } = scan(line);
  const typed = line.slice(start);
  const text = characters.map(({ text: one }) => one).join('');
  // The name begins behind the last slash, quoted or not.
  const slash = characters.findLastIndex(({ text: one }) => one === '/');
  const keptLength = slash < 0 ? 0 : characters[slash]!.end - start;
  const before = characters.slice(0, slash + 1).map(({ text: one }) => one).join('');
  return {
    typed, kept: typed.slice(0, keptLength), directory: directoryFor(typed, before), name: text.slice(before.length), quote: open,
    isCommand: slash < 0 && open === '' && startsCommand.test(line.slice(0, start)),
  };
}

/** Runs in the session: writes the candidates, a directory with a slash, each ended by NUL. */
export function completionScript(word: Word): string {
  const pattern = `${word.directory}${quote(word.name)}*`;
  const commands = `if [ -n "\${BASH_VERSION-}" ]; then compgen -c -- ${quote(word.name)} | head -n ${mostCandidates} | tr '\\n' '\\0'
  else IFS=:; for d in $PATH; do for f in "$d"/${quote(word.name)}*; do [ -f "$f" ] && [ -x "$f" ] && printf '%s\\0' "\${f##*/}"; done; done; fi`;
  const files = `n=0; for f in ${pattern}; do
  [ -e "$f" ] || [ -L "$f" ] || continue
  n=$((n + 1)); [ "$n" -le ${mostCandidates} ] || break
  if [ -d "$f" ]; then printf '%s/\\0' "\${f##*/}"; else printf '%s\\0' "\${f##*/}"; fi
done`;
  // zsh splits and globs as sh does then; nothing of it stays, as of a -f or -u of the session.
  return `( [ -z "\${ZSH_VERSION-}" ] || emulate sh; set +efu; ${word.isCommand && word.name !== '' ? commands : files} ) 2>/dev/null </dev/null`;
}

/** What the word becomes for each candidate. */
export function completionsOf(word: Word, output: string): string[] {
  const names = [...new Set(output.split('\0').slice(0, -1))].filter((name) => name.startsWith(word.name) && !/[\x00-\x1f\x7f-\x9f]/.test(name));
  return names.sort().slice(0, mostCandidates).map((name) => `${word.kept}${written(word, name)}`);
}

/** A name as a shell reads it, within the quote that is open, which a file ends. */
function written(word: Word, name: string): string {
  const isDirectory = name.endsWith('/');
  const opened = scan(word.kept).open === word.quote ? '' : word.quote;
  if (word.quote === '') return `${name.replaceAll(reserved, '\\$&')}${isDirectory ? '' : ' '}`;
  const inside = word.quote === '"' ? name.replaceAll(/["\\$`]/g, '\\$&') : name.replaceAll("'", "'\\''");
  return `${opened}${inside}${isDirectory ? '' : `${word.quote} `}`;
}

/** A `~` or a variable at the beginning is left to the shell, all else is itself. */
function directoryFor(typed: string, before: string): string {
  const tilde = /^~[\w.-]*\//.exec(before)?.[0];
  if (tilde !== undefined && typed.startsWith('~')) return `${tilde}${tilde === before ? '' : quote(before.slice(tilde.length))}`;
  const variable = /^"?\$(?:\{(\w+)\}|(\w+))/.exec(typed);
  const [whole, name] = variable ? [variable[0].replace('"', ''), variable[1] ?? variable[2]] : ['', ''];
  if (whole !== '' && before.startsWith(whole)) return `"\${${name}}"${quote(before.slice(whole.length))}`;
  return before === '' ? '' : quote(before);
}

interface Scanned {
  readonly start: number;
  readonly open: Word['quote'];
  /** Of the word, without quotes. */
  readonly characters: readonly { readonly text: string; readonly end: number }[];
}

/** Shell Command Language 2.2, as far as it decides where a word begins. */
function scan(line: string): Scanned {
  let start = 0;
  let open: Word['quote'] = '';
  let characters: { text: string; end: number }[] = [];
  for (let at = 0; at < line.length; at += 1) {
    const character = line[at]!;
    if (character === '\\' && open !== "'" && at + 1 < line.length) {
      at += 1;
      characters.push({ text: line[at]!, end: at + 1 });
    } else if (open !== '' && character === open) open = '';
    else if (open === '' && (character === '"' || character === "'")) open = character;
    else if (open === '' && /[\s|&;()<>]/.test(character)) {
      start = at + 1;
      characters = [];
    } else characters.push({ text: character, end: at + 1 });
  }
  return { start, open, characters };
}
