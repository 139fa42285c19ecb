/**
 * `sidecar serve`: runs the server.
 * @module
 */
import { createLog, type Log } from '../../base/log.ts';
import type { Config } from '../../config.ts';
import { LockHeldError } from '../../process/lock.ts';
import { isLoopback, type Server, startServer } from '../../server.ts';
import { type Command, defineCommand } from '../command.ts';
import { CommandError } from '../failure.ts';
import { settingOptions } from '../settings.ts';
import { ownVersion } from '../version.ts';

export const command: Command = defineCommand({
  name: 'serve',
  summary: 'Run the server',
  usage: ['serve [flags]'],
  about: 'Listens until it gets SIGTERM or SIGINT; then it finishes its answers and goes. Running jobs go on, and the next server\n'
    + 'finds them again. All flags can be set by SIDECAR_* and the config file too: see `sidecar config`.',
  options: {},
  settings: settingOptions(['url', 'key-file']),
  examples: [
    { line: 'serve', what: 'on http://127.0.0.1:8585' },
    { line: 'serve --port 9000 --state-dir /var/lib/sidecar', what: 'elsewhere' },
    { line: 'serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem', what: 'for other machines' },
  ],
  run: ({ config }) => serve(config),
});

async function serve(config: Config): Promise<number> {
  const isTerminal = process.stderr.isTTY === true;
  const format = config.logFormat === 'auto' ? (isTerminal ? 'pretty' : 'json') : config.logFormat;
  const log = createLog({ format, level: config.logLevel, hasColor: config.isColour(process.stderr) });
  const server = await start(config, log);
  welcome(server, config, log);
  process.on('uncaughtException', (error) => log.error('unexpected failure', { error }));
  process.on('unhandledRejection', (error) => log.error('unexpected failure', { error }));
  const signal = await stopSignal();
  log.info('closing', { signal });
  // A second signal is impatient.
  void stopSignal().then(() => server.close({ graceMs: 0 }));
  await server.close();
  log.info('closed');
  await log.flush();
  return 0;
}

async function start(config: Config, log: Log): Promise<Server> {
  try {
    return await startServer(config, { version: ownVersion(), log });
  } catch (error) {
    await log.flush();
    if (error instanceof LockHeldError) throw new CommandError(error.message);
    throw new CommandError(explain(error as NodeJS.ErrnoException, config));
  }
}

function explain(error: NodeJS.ErrnoException, { host, port, stateDir }: Config): string {
  switch (error.code) {
    case 'EADDRINUSE': return `Cannot listen on ${host}:${port}: the port is in use; choose another with --port`;
    case 'EADDRNOTAVAIL': return `Cannot listen on ${host}:${port}: this machine has no such address`;
    case 'EACCES': case 'EPERM': case 'EROFS':
      if (error.syscall === 'listen') return `Cannot listen on ${host}:${port}: not allowed; ports below 1024 are for root`;
      return `Cannot use the state directory ${stateDir}: ${error.message}; choose another with --state-dir`;
    default: return `Cannot serve: ${error.message}`;
  }
}

/** What a person needs first; on a terminal only, as it names the key's place and not the key. */
function welcome({ url, keys }: Server, config: Config, log: Log): void {
  log.info('listening', { url, stateDir: config.stateDir, key: keys.origin });
  if (!isLoopback(config.host) && config.tlsCert === undefined) {
    log.warn('this address can be reached from other machines, and the key and all output go over the network unencrypted: use --tls-cert, a tunnel, or 127.0.0.1');
  }
  const key = keys.origin === 'environment' ? '$SIDECAR_API_KEY' : '$(cat \'' + config.stateDir.replaceAll('\'', '\'\\\'\'') + '/api-key\')';
  process.stdout.write(`machine-sidecar listens on ${url}. Try:\n\n`
    + `  curl -s '${url}/exec?wait=10' -H "X-API-Key: ${key}" -H 'Content-Type: application/json' -d '{"command":"echo hello"}'\n\n`);
}

function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, resolve);
  });
}
