/**
 * Asks the person at the terminal for a line. In between it releases the terminal, so that Ctrl-C reaches this process
 * as usual.
 * @module
 */
import { openLineEditor } from './line-editor.ts';

export type LineResult =
  | { readonly type: 'line'; readonly text: string }
  /** Ctrl-C. */
  | { readonly type: 'interrupt' }
  /** Ctrl-D, or the terminal is gone. */
  | { readonly type: 'end' }
  /** The answer is no longer needed. */
  | { readonly type: 'aborted' };

let history: readonly string[] = [];

/** Never rejects. @param options.isKept The line uses the history and is added to it. */
export async function readLine(
  prompt: string, { signal, isKept }: { readonly signal: AbortSignal; readonly isKept: boolean },
): Promise<LineResult> {
  if (signal.aborted) return { type: 'aborted' };
  const editor = openLineEditor(isKept ? history : []);
  let abort = (): void => undefined;
  try {
    return await new Promise<LineResult>((resolve) => {
      editor.onLine = (text) => resolve({ type: 'line', text });
      editor.onInterrupt = () => resolve({ type: 'interrupt' });
      editor.onEnd = () => resolve({ type: 'end' });
      editor.onGone = () => resolve({ type: 'end' });
      abort = () => resolve({ type: 'aborted' });
      signal.addEventListener('abort', abort);
      editor.prompt(prompt);
    });
  } finally {
    signal.removeEventListener('abort', abort);
    if (isKept) history = editor.history();
    editor.close();
  }
}
