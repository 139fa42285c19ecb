/** Yardstick: `ssh` over a multiplexed connection to an sshd of our own on this machine. @module */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Bench, endProcess } from '../bench.ts';

const START_LIMIT_MS = 10_000;

/** The folder for privilege separation if sshd runs as root; distributions make it at boot. */
const PRIVSEP_FOLDER = '/run/sshd';

/** An open connection: the words that run a command over it, to be put before the command, and sshd's pid. */
export type Ssh =
  | { readonly isThere: true; readonly command: readonly string[]; readonly pid: number }
  | { readonly isThere: false; readonly reason: string };

/**
 * Starts sshd with its own keys and configuration, and opens the connection that later commands share.
 */
export async function startSsh(bench: Bench): Promise<Ssh> {
  const sshd = findProgram('sshd');
  const ssh = findProgram('ssh');
  if (sshd === undefined || ssh === undefined) {
    return {
      isThere: false,
      reason: `no ${sshd === undefined ? 'sshd' : 'ssh'} here (Debian: apt install openssh-server)`,
    };
  }
  const folder = bench.newFolder('ssh');
  const port = await freePort();
  writeServerFiles(folder, port);
  const clientConfig = writeClientFiles(folder, port);
  if (userInfo().uid === 0 && !existsSync(PRIVSEP_FOLDER)) {
    mkdirSync(PRIVSEP_FOLDER, { mode: 0o755 });
    bench.atEnd(async () => rmdirSync(PRIVSEP_FOLDER));
  }

  // sshd starts itself again for each connection, so it needs its full path.
  const server = spawn(
    sshd,
    ['-D', '-e', '-f', join(folder, 'sshd_config')],
    logTo(join(folder, 'sshd.log')),
  );
  bench.atEnd(() => endProcess(server));
  const command = [ssh, '-F', clientConfig, 'bench'];
  // BatchMode: ssh prompts for nothing. Until sshd listens, the connection is refused and tried again.
  const startedAt = performance.now();
  let master: ChildProcess | undefined;
  while (performance.now() - startedAt < START_LIMIT_MS) {
    if (master === undefined || master.exitCode !== null) {
      master = spawn(
        ssh,
        ['-F', clientConfig, '-M', '-N', '-o', 'ProxyCommand=none', 'bench'],
        logTo(join(folder, 'ssh.log')),
      );
      const opened = master;
      bench.atEnd(() => endProcess(opened));
    }
    await delay(50);
    const check = spawnSync(ssh, ['-F', clientConfig, '-O', 'check', 'bench'], { stdio: 'ignore' });
    if (check.status !== 0) continue;
    // A user without a login shell can connect but run nothing.
    const trial = spawnSync(ssh, [...command.slice(1), 'true'], { encoding: 'utf8' });
    if (trial.status === 0) return { isThere: true, command, pid: server.pid ?? NaN };
    const said = `${trial.stdout}${trial.stderr}`.trim();
    return { isThere: false, reason: `ssh cannot run a command here: ${said}` };
  }
  const lastLines = ['sshd.log', 'ssh.log'].map((file) => {
    return readFileSync(join(folder, file), 'utf8').trim().split('\n').at(-1);
  });
  return {
    isThere: false,
    reason: `cannot connect to an sshd of our own: ${lastLines.join('; ')}`,
  };
}

/**
 * Runs `true` over ssh, `count` times by each of `concurrency` shells. A shell is the cheapest parent for the clients
 * (Node would add about 1 ms each), and measures the time.
 *
 * @returns When each command began and ended, in milliseconds since 1970.
 * @throws What ssh wrote to stderr, if one of them failed.
 */
export async function timeCommands(
  bench: Bench,
  ssh: readonly string[],
  { concurrency, count }: { concurrency: number; count: number },
): Promise<{ begunMs: number; endedMs: number }[]> {
  const script = `LC_ALL=C
    for ((shell = 0; shell < ${concurrency}; shell++)); do
      for ((i = 0; i < ${count}; i++)); do
        a=$EPOCHREALTIME; "$@" true </dev/null || exit; echo "$a $EPOCHREALTIME"
      done &
    done
    for shell in $(jobs -p); do wait "$shell" || exit; done`;
  const printed = await bench.runCommand('bash', ['--norc', '-c', script, 'bash', ...ssh]);
  return printed.trim().split('\n').map((line) => {
    const [begun = NaN, ended = NaN] = line.split(' ').map(Number);
    return { begunMs: begun * 1000, endedMs: ended * 1000 };
  });
}

function writeServerFiles(folder: string, port: number): void {
  for (const name of ['host_key', 'user_key']) {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)]);
  }
  writeFileSync(join(folder, 'authorized_keys'), readFileSync(join(folder, 'user_key.pub')), {
    mode: 0o600,
  });
  const config = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${join(folder, 'host_key')}`,
    `AuthorizedKeysFile ${join(folder, 'authorized_keys')}`,
    'PidFile none',
    // The folder is under /tmp, which all users can write to.
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'PermitRootLogin prohibit-password',
    'MaxSessions 1000',
    'PrintMotd no',
    // For scp.
    'Subsystem sftp internal-sftp',
    // The user's login shell runs the commands. bash would read ~/.bashrc for ssh, but only in an outermost shell;
    // that is not to be measured.
    'SetEnv SHLVL=2',
  ];
  writeFileSync(join(folder, 'sshd_config'), `${config.join('\n')}\n`);
}

function writeClientFiles(folder: string, port: number): string {
  const path = join(folder, 'ssh_config');
  const config = [
    'Host bench',
    'HostName 127.0.0.1',
    `Port ${port}`,
    `User ${userInfo().username}`,
    `IdentityFile ${join(folder, 'user_key')}`,
    'IdentitiesOnly yes',
    'StrictHostKeyChecking no',
    'UserKnownHostsFile /dev/null',
    'GlobalKnownHostsFile /dev/null',
    'BatchMode yes',
    'LogLevel ERROR',
    `ControlPath ${join(folder, 'mux')}`,
    // Without the shared connection a command would open its own, ten times slower, and make us look better.
    'ProxyCommand false',
  ];
  writeFileSync(path, `${config.join('\n')}\n`);
  return path;
}

/** Finds the path of a program, on PATH and in the folders of servers. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, name)).find(existsSync);
}

function logTo(path: string): { stdio: ['ignore', 'ignore', number] } {
  return { stdio: ['ignore', 'ignore', openSync(path, 'a')] };
}

/** A port of the loopback address that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : NaN;
}
