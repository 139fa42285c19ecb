/**
 * `sidecar serve`: runs the server, by itself or under a wrapper.
 * @module
 */
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { localAddress } from '../../base/local-address.ts';
import { createLog, type Log } from '../../base/log.ts';
import { quote } from '../../base/text/shell-word.ts';
import type { Config } from '../../config/config.ts';
import { acquireLock, LockHeldError } from '../../process/state/lock.ts';
import { openStateDirectory } from '../../process/state/state-directory.ts';
import { isLoopback } from '../../server/listeners.ts';
import { type Server, startServer } from '../../server/server.ts';
import { replacedExitCode } from '../../update/wrapper-link/messages.ts';
import { reportRefusal, WrapperLink } from '../../update/wrapper-link/wrapper-link.ts';
import { type Command, defineCommand, type Invocation, type Values } from '../command.ts';
import { CommandError, UsageError } from '../failure.ts';
import { explainServeFailure } from './serve-failure.ts';
import { settingOptions } from './settings.ts';
import { onReaderGone, write } from '../io/streams.ts';
import { ownVersion } from '../../process/own-version.ts';

const options = {
  wrapper: { type: 'boolean', description: 'Keep it running: restart it after a crash, and let it update itself' },
} as const;

export const command: Command = defineCommand({
  name: 'serve',
  summary: 'Run the server',
  usage: ['serve [--wrapper] [flags]'],
  about: `Listens until it gets SIGTERM or SIGINT; then it finishes its answers and goes. Running jobs continue, and the
next server finds them again. All flags can be set by SIDECAR_* and the config file too: see \`sidecar config\`.

With --wrapper this process starts the server as its child, starts it again whenever it crashes, and carries out
updates: the new version is started beside the old one, takes its place without a gap, and is taken back when it goes
wrong. What another start would not change (the port is taken, the state directory or a setting cannot be used) ends
it, with the exit code of the server.

Updates are fetched through the proxy of HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, but for what NO_PROXY names; before them
stand npm's own settings, for updates from npm. \`sidecar config\` and \`sidecar doctor\` show what holds.`,
  options,
  settings: settingOptions(['url', 'key-file']),
  isServer: true,
  isAboutItself: true,
  examples: [
    { line: 'sidecar serve', what: 'on http://127.0.0.1:8585' },
    { line: 'sidecar serve --wrapper', what: 'for good: restarted after a crash, and updated by `sidecar update`' },
    { line: 'sidecar serve --port 9000 --state-dir /var/lib/sidecar', what: 'elsewhere' },
    { line: 'sidecar serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem', what: 'for other machines' },
  ],
  run: ({ values, config }: Invocation<Values<typeof options>>) => {
    // Checked here, before a wrapper starts a server that would fail again and again.
    if ((config.tlsCert === undefined) !== (config.tlsKey === undefined)) {
      throw new UsageError('Cannot serve HTTPS: --tls-cert and --tls-key go together', 'serve');
    }
    return values.wrapper === true ? runWrapper(config) : serve(config);
  },
});

/** Milliseconds that a replaced server may take to finish its answers. */
const lastAnswersMs = 30_000;

async function serve(config: Config): Promise<number> {
  const log = openLog(config);
  const wrapped = await WrapperLink.open(ownVersion());
  const server = await start(config, log, wrapped);
  // The server outlives the reader of its stdout.
  onReaderGone(() => undefined);
  log.info('listening', { url: server.url, stateDir: config.stateDir, key: server.keys.origin });
  if (wrapped === undefined || process.stdout.isTTY) await printWelcome(server, config, log);
  wrapped?.send({ say: 'serving', url: server.url, healthUrl: server.healthUrl });
  logUncaughtErrors(log);
  if (wrapped) wrapped.onDisconnect = () => log.warn(
    'the wrapper has gone: this server stays, until the next wrapper replaces it',
  );
  const end = await Promise.race([stopSignal(wrapped), handOver(wrapped)]);
  if (end !== 'handOver') wrapped?.send({ say: 'stopping' });
  log.info(end === 'handOver' ? 'handing over' : 'closing', end === 'handOver' ? {} : { signal: end });
  // A second signal closes the server at once.
  void stopSignal(wrapped).then(() => server.close({ graceMs: 0 }));
  if (end === 'handOver') {
    await server.handOver();
    wrapped?.send({ say: 'released' });
  }
  await server.close(end === 'handOver' ? { graceMs: lastAnswersMs } : {});
  log.info('closed');
  await log.flush();
  return end === 'handOver' ? replacedExitCode : 0;
}

const notPrimary = 'Cannot serve with --wrapper: NODE_UNIQUE_ID is in the environment, by which Node takes this '
  + 'process for a worker of another one (node:cluster). Start it without that variable: '
  + 'env -u NODE_UNIQUE_ID sidecar serve --wrapper';

/** Runs the wrapper in this process, and its servers as children. */
async function runWrapper(config: Config): Promise<number> {
  // Loaded on demand: a server without a wrapper does not need it.
  const { Wrapper } = await import('../../wrapper/wrapper.ts');
  if (!cluster.isPrimary) throw new CommandError(notPrimary);
  const log = openLog(config);
  logUncaughtErrors(log);
  try {
    openStateDirectory(config.stateDir, log);
    const lock = await acquireLock(join(config.stateDir, 'wrapper.lock'), ownVersion());
    const wrapper = new Wrapper({
      stateDir: config.stateDir,
      own: {
        version: ownVersion(),
        main: fileURLToPath(new URL(`../main${extname(import.meta.url)}`, import.meta.url)),
        execArgv: process.execArgv,
      },
      timing: { probationMs: config.updateProbationSeconds * 1000 },
      args: [...process.argv.slice(2).filter((word) => word !== '--wrapper'), ...absolutePaths(config)],
      log,
    });
    for (const signal of stopSignals()) process.on(signal, () => wrapper.stop());
    const exitCode = await wrapper.run();
    lock.release();
    await log.flush();
    return exitCode;
  } catch (error) {
    await log.flush();
    if (error instanceof LockHeldError) {
      throw new CommandError(`${error.message}; stop it first, or choose another --state-dir`);
    }
    throw new CommandError(explainServeFailure(error, config).reason);
  }
}

/**
 * Flags that override the earlier ones: a server that starts after the current directory was deleted cannot resolve a
 * relative path.
 */
function absolutePaths({ stateDir, keyFile, tlsCert, tlsKey }: Config): string[] {
  return Object.entries({ 'state-dir': stateDir, 'key-file': keyFile, 'tls-cert': tlsCert, 'tls-key': tlsKey })
    .flatMap(([name, path]) => (path === undefined ? [] : [`--${name}=${path}`]));
}

function openLog(config: Config): Log {
  const isTerminal = process.stderr.isTTY === true;
  const automatic = isTerminal ? 'pretty' : 'json';
  const format = config.logFormat === 'auto' ? automatic : config.logFormat;
  return createLog({ format, level: config.logLevel, hasColor: config.isColour(process.stderr) });
}

function logUncaughtErrors(log: Log): void {
  process.on('uncaughtException', (error) => log.error('unexpected failure', { error }));
  process.on('unhandledRejection', (error) => log.error('unexpected failure', { error }));
}

async function start(config: Config, log: Log, wrapped: WrapperLink | undefined): Promise<Server> {
  try {
    return await startServer(config, { version: ownVersion(), log, wrapped });
  } catch (error) {
    const failure = explainServeFailure(error, config);
    await reportRefusal(failure);
    await log.flush();
    throw new CommandError(failure.reason);
  }
}

/** Tells a person how to begin. It prints where the key is, not the key. */
async function printWelcome({ url, keys }: Server, config: Config, log: Log): Promise<void> {
  if (!isLoopback(config.host) && config.tlsCert === undefined) {
    log.warn(
      'this address can be reached from other machines, and the key and all output go over the network unencrypted:'
        + ' use --tls-cert, a tunnel, or 127.0.0.1',
    );
  }
  const key = keys.origin === 'environment' ? '$SIDECAR_API_KEY' : `$(cat ${quote(`${config.stateDir}/api-key`)})`;
  const text = `machine-sidecar listens on ${url}. Try:\n\n`
    + `  curl -s '${localAddress(url)}/exec?wait=10' -H "X-API-Key: ${
      key
    }" -H 'Content-Type: application/json' -d '{"command":"echo hello"}'\n\n`;
  try {
    await write(text);
  } catch (error) {
    log.warn('stdout cannot be written', { error });
  }
}

/**
 * Under a wrapper only SIGTERM stops the server: the wrapper sends it for every signal that it gets, also for one that
 * a terminal sends to both.
 */
function stopSignal(wrapped: WrapperLink | undefined): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of stopSignals()) {
      process.on(signal, () => {
        if (signal === 'SIGTERM' || wrapped?.isConnected !== true) resolve(signal);
      });
    }
  });
}

/** SIGHUP stops the server unless it is ignored, as under nohup(1). */
function stopSignals(): readonly NodeJS.Signals[] {
  return isHangUpIgnored() ? ['SIGTERM', 'SIGINT'] : ['SIGTERM', 'SIGINT', 'SIGHUP'];
}

/** proc(5): SigIgn is the mask of ignored signals, in hex; its lowest bit is SIGHUP. */
function isHangUpIgnored(): boolean {
  try {
    const [, mask = ''] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    return (parseInt(mask.slice(-1), 16) & 1) === 1;
  } catch {
    // Not Linux.
    return false;
  }
}

/** Resolves when another server is to take over. */
async function handOver(wrapped: WrapperLink | undefined): Promise<'handOver'> {
  if (wrapped && await wrapped.waitFor('handOver')) return 'handOver';
  return new Promise(() => undefined);
}
