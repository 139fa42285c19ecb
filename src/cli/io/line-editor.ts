/**
 * Reads the lines that a person types, with a history; also while a command runs.
 * @module
 */
import { type Interface, createInterface } from 'node:readline';

export interface LineEditor {
  onLine: (line: string) => void;
  /** Ctrl-C. */
  onInterrupt: () => void;
  /** Ctrl-D on an empty line. */
  onEnd: () => void;
  /** The terminal is gone. */
  onGone: () => void;
  /** Tab: resolves with the completions, and the end of the line that they replace. */
  onComplete: (line: string) => Promise<readonly [completions: string[], typed: string]>;
  /** Asks for a line. @param prompt `''`: shows no prompt, as the lines are input for a running command. */
  prompt(prompt: string): void;
  /** Discards an unfinished line, as a terminal does at Ctrl-C. */
  discard(): void;
  /** The lines so far, newest first. */
  history(): readonly string[];
  /** Restores the terminal. */
  close(): void;
}

const historySize = 1000;

/** Reads stdin; prompts and echo go to stderr, as stdout is for data. @param earlier History of an earlier editor. */
export function openLineEditor(earlier: readonly string[] = []): LineEditor {
  let history: string[] = [...earlier];
  let isClosed = false;
  let isGone = false;
  let prompt = '';
  const editor: LineEditor = {
    onLine: () => undefined, onInterrupt: () => undefined, onEnd: () => undefined, onGone: () => undefined,
    onComplete: async (text) => [[], text],
    prompt: (text) => {
      prompt = text;
      line.setPrompt(text);
      if (text !== '') line.prompt(true);
    },
    discard: () => {
      if (line.line === '') return;
      line.write('', { ctrl: true, name: 'e' });
      line.write('', { ctrl: true, name: 'u' });
    },
    history: () => history,
    close: () => {
      isClosed = true;
      process.stdin.off('end', gone).off('error', gone);
      line.close();
    },
  };
  process.stdin.on('end', gone).on('error', gone);
  let line = open();
  return editor;

  function open(): Interface {
    const opened = createInterface({
      input: process.stdin,
      output: process.stderr,
      terminal: process.stderr.isTTY,
      history,
      historySize,
      removeHistoryDuplicates: true,
      prompt,
      completer: (text: string, done: (error: null, found: [string[], string]) => void) => {
        editor.onComplete(text).then(([found, typed]) => done(null, [found, typed]), () => done(null, [[], text]));
      },
    });
    opened.on('line', (text) => editor.onLine(text));
    opened.on('history', (lines) => { history = lines; });
    opened.on('SIGINT', () => editor.onInterrupt());
    opened.on('close', () => {
      if (isClosed || isGone) return;
      // Ctrl-D closes readline, but not the terminal. If the terminal is gone, stdin reports that first.
      setImmediate(() => {
        if (isClosed || isGone) return;
        line = open();
        editor.onEnd();
      });
    });
    return opened;
  }

  function gone(): void {
    if (isGone) return;
    isGone = true;
    editor.onGone();
  }
}
