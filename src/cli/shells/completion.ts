/**
 * Completes words of a command line with the programs and files on the session's machine. Pure.
 *
 * The script that looks for them runs in a subshell of the session: it knows the session's directory and variables, and
 * changes nothing there. Of the typed text only a `~` and a variable at the beginning of the word are expanded.
 * @module
 */
import { quote } from '../../base/text/shell-word.ts';

/** The word before the cursor. */
export interface Word {
  /** The word as it was typed, from its first character to the cursor. */
  readonly typed: string;
  /** The part of it that completion keeps: `~/My\ files/`. */
  readonly kept: string;
  /** The directory as text for the shell, where only a `~` or a variable can be expanded: `~/'My files/'`. */
  readonly directory: string;
  /** The beginning of the name, without quotes. */
  readonly name: string;
  /** The quote that is open at the cursor. */
  readonly quote: '' | '"' | "'";
  /** The word is the name of a command: only an operator or a keyword stands before it. */
  readonly isCommand: boolean;
}

export const maxCandidates = 500;
const startsCommand = /(?:^|[|&;({!]|\b(?:do|then|else|elif|if|while|until|time|exec|sudo|command|env|nohup))\s*$/;
const needsEscape = /[^\w./:=@%+,\-\u0080-\uffff]/g;

/** The last word of a line. */
export function wordAt(line: string): Word {
  const { start, open, characters } = scan(line);
  const typed = line.slice(start);
  const text = characters.map(({ text: one }) => one).join('');
  // The name begins behind the last slash, quoted or not.
  const slash = characters.findLastIndex(({ text: one }) => one === '/');
  const keptLength = slash < 0 ? 0 : characters[slash]!.end - start;
  const before = characters.slice(0, slash + 1).map(({ text: one }) => one).join('');
  return {
    typed,
    kept: typed.slice(0, keptLength),
    directory: directoryFor(typed, before),
    name: text.slice(before.length),
    quote: open,
    isCommand: slash < 0 && open === '' && startsCommand.test(line.slice(0, start)),
  };
}

/** A script for the session that prints the candidates, each ended by NUL, directories with a slash. */
export function completionScript(word: Word): string {
  const pattern = `${word.directory}${quote(word.name)}*`;
  const commands = `if [ -n "\${BASH_VERSION-}" ]; then
    compgen -c -- ${quote(word.name)} | head -n ${maxCandidates} | tr '\\n' '\\0'
  else
    IFS=:
    for d in $PATH; do
      for f in "$d"/${quote(word.name)}*; do [ -f "$f" ] && [ -x "$f" ] && printf '%s\\0' "\${f##*/}"; done
    done
  fi`;
  const files = `n=0; for f in ${pattern}; do
  [ -e "$f" ] || [ -L "$f" ] || continue
  n=$((n + 1)); [ "$n" -le ${maxCandidates} ] || break
  if [ -d "$f" ]; then printf '%s/\\0' "\${f##*/}"; else printf '%s\\0' "\${f##*/}"; fi
done`;
  // Makes zsh split and glob like sh, and turns off -e, -f and -u of the session; the subshell discards both.
  return `( [ -z "\${ZSH_VERSION-}" ] || emulate sh; set +efu; ${
    word.isCommand && word.name !== '' ? commands : files
  } ) 2>/dev/null </dev/null`;
}

/** The completed word for each candidate. */
export function completionsOf(word: Word, output: string): string[] {
  const names = [...new Set(output.split('\0').slice(0, -1))]
    .filter((name) => name.startsWith(word.name) && !/[\x00-\x1f\x7f-\x9f]/.test(name));
  return names.sort().slice(0, maxCandidates).map((name) => `${word.kept}${quoteCandidate(word, name)}`);
}

/** Quotes a name for the shell, within the open quote; a file closes that quote, a directory leaves it open. */
function quoteCandidate(word: Word, name: string): string {
  const isDirectory = name.endsWith('/');
  const opened = scan(word.kept).open === word.quote ? '' : word.quote;
  if (word.quote === '') return `${name.replaceAll(needsEscape, '\\$&')}${isDirectory ? '' : ' '}`;
  const inside = word.quote === '"' ? name.replaceAll(/["\\$`]/g, '\\$&') : name.replaceAll("'", "'\\''");
  return `${opened}${inside}${isDirectory ? '' : `${word.quote} `}`;
}

/** Leaves a `~` or a variable at the beginning to the shell, and quotes everything else. */
function directoryFor(typed: string, before: string): string {
  const tilde = /^~[\w.-]*\//.exec(before)?.[0];
  if (tilde !== undefined && typed.startsWith('~')) {
    return `${tilde}${tilde === before ? '' : quote(before.slice(tilde.length))}`;
  }
  const variable = /^"?\$(?:\{(\w+)\}|(\w+))/.exec(typed);
  const [whole, name] = variable ? [variable[0].replace('"', ''), variable[1] ?? variable[2]] : ['', ''];
  if (whole !== '' && before.startsWith(whole)) return `"\${${name}}"${quote(before.slice(whole.length))}`;
  return before === '' ? '' : quote(before);
}

interface ScanResult {
  readonly start: number;
  readonly open: Word['quote'];
  /** The characters of the word, without quotes. */
  readonly characters: readonly { readonly text: string; readonly end: number }[];
}

/** Follows Shell Command Language 2.2, as far as it decides where a word begins. */
function scan(line: string): ScanResult {
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
