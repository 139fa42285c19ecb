/** A real server, run from the sources or from `dist`, and its calls for agents. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readOwner } from '../../../src/process/state/lock.ts';
import { limitMs, until } from './wait.mjs';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
const key = 'the-key-of-the-agents';
const waitSeconds = 5;

export class Sidecar {
  #folder;
  #isBuilt;
  #child;
  #isClosed = false;
  #url;

  /** @param isBuilt Run the build in `dist` instead of the sources. Default false. */
  constructor({ folder, isBuilt = false }) {
    this.#folder = folder;
    this.#isBuilt = isBuilt;
  }

  /** Starts the server, also again after it was killed: on the same state directory. */
  async start() {
    if (this.#isClosed) throw new Error('The server was closed');
    const home = join(this.#folder, 'home');
    const stateDir = join(this.#folder, 'state');
    mkdirSync(home, { recursive: true });
    const program = this.#isBuilt ? ['dist/cli/main.js'] : ['--import', import.meta.resolve('tsx'), 'src/cli/main.ts'];
    const log = openSync(join(this.#folder, 'log'), 'a');
    const child = this.#child = spawn(process.execPath, [...program, 'serve', '--port=0', `--state-dir=${stateDir}`], {
      cwd: repository, stdio: ['ignore', log, log],
      env: {
        PATH: process.env.PATH, HOME: home, XDG_CONFIG_HOME: join(home, '.config'),
        XDG_STATE_HOME: join(home, '.state'), SIDECAR_API_KEY: key,
      },
    });
    closeSync(log);
    this.#url = await until(() => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`The server ended:\n${this.log()}`);
      const owner = readOwner(join(stateDir, 'server.lock'));
      return owner?.pid === child.pid ? owner.url : undefined;
    }, 'the server listens');
  }

  /** Ends the server; it cannot be started again. */
  async close() {
    this.#isClosed = true;
    await this.kill('SIGTERM');
  }

  async kill(signal = 'SIGKILL') {
    if (!this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    const overdue = setTimeout(() => this.#child.kill('SIGKILL'), 15_000);
    await exited;
    clearTimeout(overdue);
  }

  log() {
    return readFileSync(join(this.#folder, 'log'), 'utf8').slice(-4000);
  }

  /** @returns the parsed answer. @throws Error if the request does not succeed. */
  async call(method, path, body) {
    const response = await fetch(new URL(path, this.#url), {
      method, headers: { 'X-API-Key': key, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }), signal: AbortSignal.timeout(limitMs),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} → ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  async run(request) {
    return (await this.call('POST', '/exec', { mode: 'acp', ...request })).jobId;
  }

  async job(id, { wait = 0 } = {}) {
    return await this.call('GET', `/jobs/${id}${wait > 0 ? `?wait=${wait}` : ''}`);
  }

  async finished(id) {
    return await until(async () => {
      const job = await this.job(id, { wait: waitSeconds });
      return isFinished(job) && job;
    }, `job ${id} is finished`);
  }

  async permit(id, permissionId, optionId) {
    return await this.call('POST', `/jobs/${id}/permissions/${permissionId}`, { optionId });
  }

  async prompt(id, prompt) {
    return await this.call('POST', `/jobs/${id}/prompt`, { prompt });
  }

  /** Changes the settings with which the agent continues. @returns the answer. */
  async change(id, change) {
    return await this.call('PATCH', `/jobs/${id}`, change);
  }

  async cancel(id) {
    return await this.call('POST', `/jobs/${id}/cancel`, {});
  }

  /** All events of a finished job, as streamed: `{ event, data }`. */
  async events(id) {
    const response = await fetch(new URL(`/jobs/${id}/events`, this.#url), {
      headers: { 'X-API-Key': key }, signal: AbortSignal.timeout(limitMs),
    });
    return (await response.text()).split('\n\n').flatMap((block) => {
      const fields = Object.fromEntries(block.split('\n').flatMap((line) => {
        const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        return name ? [[name, value]] : [];
      }));
      return fields.data === undefined ? [] : [{ event: fields.event, data: JSON.parse(fields.data) }];
    });
  }
}

export function isFinished({ status }) {
  return status !== 'pending' && status !== 'running';
}
