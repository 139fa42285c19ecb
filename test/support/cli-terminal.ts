/**
 * Runs the program `sidecar` at a real pseudo-terminal, types into it and waits for what it shows.
 *
 * @module
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { sendSignal } from '../../src/process/identity.ts';
import { openScriptPty } from '../../src/terminals/holder/pty.ts';
import { atEnd, environmentOf, program, temporaryFolder } from './server.ts';
import { until, within } from './wait.ts';

export interface CliTerminal {
  /** All that was shown so far. */
  readonly text: () => string;
  readonly type: (keys: string) => void;
  /** Resolves once something is shown, behind what was waited for before. */
  readonly shows: (what: string | RegExp) => Promise<string>;
  readonly resize: (cols: number, rows: number) => void;
  /** As stty(1) says it: before the program, and at the moment. */
  readonly before: () => string;
  readonly settings: () => string;
  /** The id of its process. */
  readonly pid: () => number;
  /** The exit code of the program. The terminal is as it was before. */
  readonly ended: Promise<{ readonly exitCode: number; readonly after: string }>;
}

/** Starts `sidecar` with these words, in a terminal of its own. */
export async function openCliTerminal(
  t: TestContext, server: { readonly url: string; readonly key: string }, words: readonly string[],
  options: { readonly cwd?: string; readonly env?: { readonly [name: string]: string } } = {},
): Promise<CliTerminal> {
  const folder = temporaryFolder(t);
  const env = {
    ...environmentOf(folder), SIDECAR_URL: server.url, SIDECAR_API_KEY: server.key, TERM: 'xterm',
    SIDECAR_STATE_DIR: join(folder, 'state'), ...options.env,
  };
  // The settings before and after are those that a shell finds, as a person would.
  // Ctrl-C, where the terminal makes a signal of it, is for the program; what is trapped so, and not ignored, is so in the program as ever.
  const steps = 'trap : INT; tty >tty; stty -a >before; sh -c \'echo $$ >pid; exec "$@"\' sh "$@"; echo $? >code; stty -a >after';
  const work = options.cwd ?? folder;
  const command = `cd "$0"; ${steps.replaceAll(/>(\w+)/g, `>"$FOLDER/$1"`)}`;
  let text = '';
  let seen = 0;
  let isOver = false;
  let settle: () => void = () => undefined;
  const over = new Promise<void>((resolve) => { settle = resolve; });
  const pty = await openScriptPty(folder, {
    argv: ['/bin/sh', '-c', command, work, process.execPath, program, ...words],
    workdir: folder, env: { ...env, FOLDER: folder }, size: { cols: 100, rows: 30 },
  }, {
    onOutput: (bytes) => { text += bytes.toString('latin1'); },
    onDrain: () => undefined,
    onExit: () => {
      isOver = true;
      settle();
    },
  });
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8').trim();
  atEnd(t, async () => {
    if (isOver) return;
    sendSignal(Number(read('pid')), 'SIGKILL');
    await over;
  });
  return {
    text: () => text,
    type: (keys) => void pty.write(Buffer.from(keys)),
    shows: async (what) => {
      const found = (): { end: number; text: string } | undefined => {
        const rest = text.slice(seen);
        if (typeof what === 'string') return rest.includes(what) ? { end: rest.indexOf(what) + what.length, text: what } : undefined;
        const match = what.exec(rest);
        return match ? { end: match.index + match[0].length, text: match[0] } : undefined;
      };
      const hit = await until(() => {
        const now = found();
        if (!now && isOver) throw new Error(`It ended without ${what}: ${JSON.stringify(text.slice(-2000))}`);
        return now;
      }, { what: `the program shows ${what}` }).catch((error: Error) => {
        throw new Error(`${error.message}; it shows ${JSON.stringify(text.slice(seen).slice(-2000))}`);
      });
      seen += hit.end;
      return hit.text;
    },
    resize: (cols, rows) => pty.resize({ cols, rows }),
    before: () => read('before'),
    settings: () => execFileSync('stty', ['-a', '-F', read('tty')], { encoding: 'utf8' }).trim(),
    pid: () => Number(read('pid')),
    ended: within(
      over.then(() => ({ exitCode: Number(read('code')), after: read('after') })),
      () => `the program ends; it shows ${JSON.stringify(text.slice(-2000))}`,
    ),
  };
}
