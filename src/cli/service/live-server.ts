/**
 * Checks whether the server of a state directory answers.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ProblemError, Sidecar } from '../../client/client.ts';
import { isAlive } from '../../process/identity.ts';
import { type LocalServer, readLock } from '../connect.ts';

/** A server that listens. */
export type ListeningServer = LocalServer & { readonly url: string };

/** The live server that holds the state directory, whether or not it listens yet. */
export async function liveServer(stateDir: string): Promise<LocalServer | undefined> {
  const lock = await readLock(stateDir);
  return lock !== undefined && await isAlive(lock) ? lock : undefined;
}

/** Resolves with the server once it answers `GET /health`; `undefined`: it did not answer in time. */
export async function waitUntilServing(stateDir: string, withinMs: number): Promise<ListeningServer | undefined> {
  const endsAtMs = performance.now() + withinMs;
  for (;;) {
    const lock = await liveServer(stateDir);
    if (lock?.url !== undefined && await answers(lock.url)) return { ...lock, url: lock.url };
    if (performance.now() > endsAtMs) return undefined;
    await delay(100);
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    await new Sidecar({ url, retry: { attempts: 1 } }).health({ signal: AbortSignal.timeout(5000) });
    return true;
  } catch (error) {
    if (error instanceof ProblemError) return error.message.includes('certificate');
    if ((error as Error).name === 'TimeoutError') return false;
    throw error;
  }
}
