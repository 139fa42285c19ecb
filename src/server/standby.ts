/**
 * A server that is ready beside another one, and takes over from it.
 * @module
 */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { openKeys } from '../http/auth/keys.ts';
import type { HttpServer } from '../http/server/listen.ts';
import { JobStore } from '../jobs/store/store.ts';
import { acquireLock, type Lock, LockHeldError } from '../process/state/lock.ts';
import type { WrapperLink } from '../update/wrapper-link/wrapper-link.ts';
import { listenOn } from './listeners.ts';

/** Checks that this server could serve, then waits beside another server until it takes over. @returns its address. */
export async function standBy(wrapper: WrapperLink, config: Config, http: HttpServer): Promise<string> {
  accessSync(config.stateDir, constants.R_OK | constants.W_OK | constants.X_OK);
  await openKeys({
    stateDir: config.stateDir, environmentKey: config.apiKey, isWeakAllowed: config.allowWeakKey,
  });
  const jobsDirectory = JobStore.jobsDirectory(config.stateDir);
  if (existsSync(jobsDirectory)) readdirSync(jobsDirectory);
  wrapper.send({ say: 'ready' });
  if (!await wrapper.waitFor('listen')) throw wrapperGone();
  const { url } = await listenOn(config, http, wrapper);
  wrapper.send({ say: 'listening' });
  // If the wrapper exits during the hand-over, this server takes over by itself.
  if (!await wrapper.waitFor('takeOver') && !wrapper.isHandingOver) throw wrapperGone();
  return url;
}

function wrapperGone(): Error {
  return new Error('Cannot stand by: the wrapper has gone');
}

/** @throws LockHeldError if another server still holds the state directory after `patienceMs`. */
export async function takeLock(
  config: Config, by: { version: string; wrapper: WrapperLink | undefined; patienceMs: number },
): Promise<Lock> {
  const until = performance.now() + by.patienceMs;
  for (;;) {
    try {
      return await acquireLock(join(config.stateDir, 'server.lock'), by.version, { wrapperPid: by.wrapper?.pid });
    } catch (error) {
      if (!(error instanceof LockHeldError) || performance.now() >= until) throw error;
      await sleep(20);
    }
  }
}
