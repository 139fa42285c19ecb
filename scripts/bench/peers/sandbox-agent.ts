/** Peer: sandbox-agent (Rust, npm `@sandbox-agent/cli`), which runs processes by HTTP. @module */
import { randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bench } from '../bench.ts';
import { runLoad } from '../load.ts';
import { freePort } from '../yardsticks/ssh.ts';
import { httpPeer, type MissingPeer, type Peer, startListener } from './peer.ts';

const name = 'sandbox-agent';
/** The folder whose lock file pins the version and the hashes of its files. */
const PACKAGE_FOLDER = fileURLToPath(new URL('../../interop/peers/', import.meta.url));
const LIMITS = {
  maxConcurrentProcesses: 1000,
  defaultRunTimeoutMs: 30_000,
  maxRunTimeoutMs: 300_000,
  maxOutputBytes: 1_048_576,
  maxLogBytesPerProcess: 10_485_760,
  maxInputBytesPerRequest: 65_536,
};

/** Starts sandbox-agent. Its token is in its arguments, where other users of this machine can see it. */
export async function startSandboxAgent(bench: Bench): Promise<Peer | MissingPeer> {
  const { peerCache, installsPeers } = bench.options;
  const program = join(peerCache, `node_modules/@sandbox-agent/cli-linux-${process.arch}/bin/sandbox-agent`);
  if (!isInstalled(peerCache)) {
    if (!installsPeers) return { name, missing: `not in ${peerCache}: run with --install-peers, which downloads it` };
    await install(bench, peerCache);
  }
  if (!existsSync(program)) return { name, missing: `its npm package has no program for ${process.arch}` };
  chmodSync(program, 0o755);
  const folder = bench.newFolder(name);
  const port = await freePort();
  const token = randomBytes(24).toString('hex');
  const args = ['server', '--no-telemetry', '--host', '127.0.0.1', '--port', String(port), '--token', token];
  const pid = await startListener(bench, { command: program, args, port, folder });
  const address = { host: '127.0.0.1', port, headers: { Authorization: `Bearer ${token}` } };
  const request = { method: 'POST', body: { command: '/bin/sh', args: ['-c', 'true'] } } as const;
  // Raises the default of 64 processes at a time, which includes submitted ones; the other limits are the defaults.
  await runLoad(bench, address, { method: 'POST', paths: ['/v1/processes/config'], body: LIMITS, count: 1 });
  return httpPeer(bench, address, {
    name,
    tree: { pid },
    submit: { ...request, paths: ['/v1/processes'], expect: '"id":' },
    run: { ...request, paths: ['/v1/processes/run'], expect: '"exitCode":0' },
  });
}

/** Whether the package is installed: npm writes its list of packages last. */
function isInstalled(cache: string): boolean {
  const installed = join(cache, 'node_modules/.package-lock.json');
  if (!existsSync(installed)) return false;
  const versionIn = (file: string): string => {
    return JSON.parse(readFileSync(file, 'utf8')).packages['node_modules/@sandbox-agent/cli'].version;
  };
  return versionIn(installed) === versionIn(join(PACKAGE_FOLDER, 'package-lock.json'));
}

async function install(bench: Bench, cache: string): Promise<void> {
  mkdirSync(cache, { recursive: true });
  for (const file of ['package.json', 'package-lock.json']) copyFileSync(join(PACKAGE_FOLDER, file), join(cache, file));
  await bench.runCommand('npm', ['ci', '--prefix', cache, '--ignore-scripts', '--no-audit', '--no-fund']);
}
