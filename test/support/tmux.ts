/**
 * A real terminal emulator: a tmux(1) of its own with one window, in which a program runs.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { shellWord } from '../../src/base/text/shell-word.ts';
import { atEnd, temporaryFolder } from './server.ts';
import { until } from './wait.ts';

export interface Emulator {
  /** The characters on the screen, a line each. */
  readonly screen: () => string;
  /** By the name of tmux: `alternate_on`, `mouse_any_flag`, `cursor_flag`, `pane_title`. */
  readonly flag: (name: string) => string;
  /** Resolves once the screen fits. */
  readonly shows: (what: RegExp) => Promise<string>;
  readonly type: (keys: string) => void;
}

/** Runs `argv` in a new window of that size; a shell stays in it once it has ended. */
export function openEmulator(t: TestContext, argv: readonly string[], options: {
  readonly env: { readonly [name: string]: string }; readonly cols: number; readonly rows: number;
}): Emulator {
  const folder = temporaryFolder(t);
  const socket = join(folder, 'tmux');
  const tmux = (...words: string[]): string => execFileSync('tmux', ['-S', socket, '-f', '/dev/null', ...words], {
    encoding: 'utf8', env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C.UTF-8', TERM: 'xterm-256color' }, cwd: folder,
  });
  const variables = Object.entries(options.env).map(([name, value]) => shellWord(`${name}=${value}`));
  const command = `env ${variables.join(' ')} ${argv.map(shellWord).join(' ')}; PS1='left> ' exec sh -i`;
  tmux('new-session', '-d', '-x', String(options.cols), '-y', String(options.rows), command, ';', 'set', '-g', 'status', 'off');
  atEnd(t, () => { tmux('kill-server'); });
  const screen = (): string => tmux('capture-pane', '-p');
  return {
    screen,
    flag: (name) => tmux('display-message', '-p', `#{${name}}`).trim(),
    shows: (what) => until(() => what.test(screen()) && screen(), { what: `the screen shows ${what}` })
      .catch((error: Error) => { throw new Error(`${error.message}; it shows\n${screen()}`); }),
    type: (keys) => { tmux('send-keys', '-l', keys); },
  };
}
