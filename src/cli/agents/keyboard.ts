/**
 * Asks a person at the terminal for a line, and lets go of the terminal in between, so that Ctrl-C reaches this process as ever.
 * @module
 */
import { openLineEditor } from '../line-editor.ts';

export type Typed =
  | { readonly is: 'line'; readonly text: string }
  /** Ctrl-C. */
  | { readonly is: 'interrupt' }
  /** Ctrl-D, or the terminal has gone. */
  | { readonly is: 'end' }
  /** Nobody needs to know any more. */
  | { readonly is: 'aborted' };

let history: readonly string[] = [];

/** Never rejects. @param options.isKept The line is one for the history. */
export async function askLine(prompt: string, { signal, isKept }: { readonly signal: AbortSignal; readonly isKept: boolean }): Promise<Typed> {
  if (signal.aborted) return { is: 'aborted' };
  const editor = openLineEditor(isKept ? history : []);
  let abort = (): void => undefined;
  try {
    return await new Promise<Typed>((resolve) => {
      editor.onLine = (text) => resolve({ is: 'line', text });
      editor.onInterrupt = () => resolve({ is: 'interrupt' });
      editor.onEnd = () => resolve({ is: 'end' });
      editor.onGone = () => resolve({ is: 'end' });
      abort = () => resolve({ is: 'aborted' });
      signal.addEventListener('abort', abort);
      editor.prompt(prompt);
    });
  } finally {
    signal.removeEventListener('abort', abort);
    if (isKept) history = editor.history();
    editor.close();
  }
}
