/**
 * Runs the jobs of a test in one persistent shell, one after the other.
 *
 * @module
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { findProgram } from '../../src/process/find-program.ts';
import { startTestServer } from './server.ts';
import { type Reached, ask } from './client.ts';

export interface Setting {
  readonly server: Reached;
  readonly run: (command: string, more?: object) => Promise<Job>;
}

/** @param shell Default: what the server chooses. */
export function sessionOf(server: Reached, sessionKey: string, shell?: string): Setting {
  const run: Setting['run'] = async (command, more = {}) => {
    const body = { mode: 'persistent_shell', sessionKey, ...(shell === undefined ? {} : { shell }), command, ...more };
    const answer = await ask(server, 'POST /exec?wait=60', { body });
    assert.equal(answer.status, 200, answer.text);
    return answer.json<Job>();
  };
  return { server, run };
}

/** One of a server of its own. */
export async function session(t: TestContext, shell?: string, flags: { readonly [name: string]: string } = {}): Promise<Setting> {
  return sessionOf(await startTestServer(t, { flags }), 'main', shell);
}

export function isInstalled(shell: string): boolean {
  return findProgram(shell, process.env['PATH'] ?? '') !== undefined;
}
