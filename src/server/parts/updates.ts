/**
 * The part of a server that updates it.
 * @module
 */
import { join } from 'node:path';
import { BoundedAnswers } from '../../process/state/bounded-answers.ts';
import { healthUpdate } from '../../protocol/health.ts';
import { throughProxy } from '../../proxy/through-proxy.ts';
import { updateRoutes } from '../../update/routes.ts';
import { parseWindow } from '../../update/schedule.ts';
import { parseSource } from '../../update/sources/spec.ts';
import { readTrustedKeys } from '../../update/trust/trusted-keys.ts';
import { Updater } from '../../update/updater.ts';
import { Versions } from '../../update/versions/version-store.ts';
import type { ServerContext } from '../context.ts';

/** @param running How many jobs run or wait. */
export function openUpdates({ config, log, version, wrapper, parts }: ServerContext, running: () => number): void {
  const { stateDir, updateSource, updateWindow, updateProbationSeconds, updateIntervalSeconds } = config;
  const updater = new Updater({
    versions: new Versions({
      directory: Versions.directoryIn(stateDir), onWarning: (message, error) => log.warn(message, { error }),
    }),
    current: version,
    release: wrapper?.release ?? null,
    source: parseSource(updateSource),
    sourceText: updateSource,
    registry: () => config.updateRegistry(),
    fetch: () => throughProxy(config.updateProxies()).fetch,
    trusted: () => readTrustedKeys(stateDir),
    executor: wrapper,
    answers: new BoundedAnswers(join(stateDir, 'updates')),
    running,
    log,
    probationSeconds: updateProbationSeconds,
    automatic: config.autoUpdate
      ? {
        intervalSeconds: updateIntervalSeconds,
        window: updateWindow === undefined ? undefined : parseWindow(updateWindow),
      }
      : undefined,
  });
  parts.onClose('updates', () => updater.close());
  parts.add({
    routes: updateRoutes(updater),
    health: () => ({
      wrapper: wrapper?.isConnected === true ? { pid: wrapper.pid } : null, update: healthUpdate(updater.state()),
    }),
  });
}
