/**
 * Asks the person at the terminal for a line. In between it releases the terminal, so that Ctrl-C reaches this process
 * as usual.
 * @module
 */
import { openLineEditor } from './line-editor.ts';

export type Typed =
  | { readonly is: 'line'; readonly text: string }
  /** Ctrl-C. */
  | { readonly is: 'interrupt' }
  /** Ctrl-D, or the terminal is gone. */
  | { readonly is: 'end' }
  /** The answer is no longer needed. */
  | { readonly is: 'aborted' };

let history: readonly string[] = [];

/** Never rejects. @param options.isKept The line uses the history and is added to it. */
export async function askLine(
  prompt: string, { signal, isKept }: { readonly signal: AbortSignal; readonly isKept: boolean },
): Promise<Typed> {
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
