/** What the supervisors are told: every word arrives as it was meant, whatever it holds. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { launchd } from '../../../src/cli/service/launchd.ts';
import { commandLine } from '../../../src/cli/service/run.ts';
import { schtasks, windowsArgument } from '../../../src/cli/service/schtasks.ts';
import { type Owner, type Service, type Supervisor, flagIn } from '../../../src/cli/service/service.ts';
import { systemd, systemdArgument, systemdProgram, systemdWord } from '../../../src/cli/service/systemd.ts';
import { temporaryFolder } from '../../support/server.ts';

const alice: Owner = { scope: 'user', user: 'alice', uid: 1000, home: '/home/alice' };
const root: Owner = { scope: 'system', user: 'root', uid: 0, home: '/root' };

const weird = ['/a b', '%h', '%%', '$HOME', '${HOME}', '$$', 'a"b', "a'b", 'a\\b', 'a\\', 'a b\\\\', '\\"', ' ', '--x=', ';', '# no', 'ü 漢', '<&>', '&amp;', '-->'];
const service: Service = {
  words: ['/opt/my node%h$x/node', '/opt/a b/main.js', 'serve', '--wrapper', '--port=9000', '--state-dir=/x y', ...weird],
  environment: { PATH: '/usr/bin:/a b/100%:/c"\\d:$e' },
};

const supervisors: readonly Supervisor[] = [systemd, launchd, schtasks];

for (const supervisor of supervisors) {
  test(`${supervisor.name}: words() reads back the words of a service with any characters`, () => {
    for (const owner of [alice, root]) {
      const words = supervisor.words(supervisor.describe(service, owner));
      assert.deepEqual(words, service.words);
      assert.equal(flagIn(words, 'state-dir'), '/x y');
    }
    assert.deepEqual(supervisor.words('nothing of the kind').filter((word) => word !== ''), []);
  });

  test(`${supervisor.name}: a control character is refused`, () => {
    for (const word of ['a\nExecStartPre=/bin/sh', 'a\u0000', 'a\u001b']) {
      assert.throws(() => supervisor.describe({ ...service, words: ['/bin/node', word] }, alice), RangeError);
    }
  });

  test(`${supervisor.name}: stop, afterRemoval and query are commands of that supervisor`, () => {
    for (const owner of [alice, root]) {
      const steps = [...supervisor.stop(owner), ...supervisor.afterRemoval(owner), supervisor.query(owner)];
      for (const step of steps) assert.match(commandLine(step), /^(systemctl|launchctl|schtasks) .*machine-sidecar|daemon-reload$/);
    }
  });
}

test('systemdWord() quotes and escapes as in systemd.syntax(7) and systemd.unit(5)', () => {
  const cases = [
    ['serve', 'serve'], ['--port=1', '--port=1'], ['', '""'], ['a b', '"a b"'], ['a"b', '"a\\"b"'], ['a\\b', '"a\\\\b"'],
    ['100%', '100%%'], ["it's", '"it\'s"'], ['$x', '"$x"'],
  ] as const;
  for (const [word, written] of cases) assert.equal(systemdWord(word), written);
  assert.equal(systemdArgument('${x}'), '"$${x}"');
  assert.equal(systemdProgram('/opt/$x/node'), '"/opt/$x/node"');
});

test('systemdProgram() refuses the names that systemd does not run', () => {
  for (const path of ['/a"b', "/a'b", '/a\\b']) assert.throws(() => systemdProgram(path), /quote or a backslash/);
});

test('the unit leaves jobs alone, restarts for ever, and holds no secret', () => {
  const [user, system] = [systemd.describe(service, alice), systemd.describe(service, root)];
  for (const unit of [user, system]) {
    for (const line of ['KillMode=process', 'Restart=always', 'StartLimitIntervalSec=0', 'OOMPolicy=continue', 'NoNewPrivileges=no']) {
      assert.ok(unit.split('\n').includes(line), line);
    }
    assert.ok(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1]) > 15);
    assert.doesNotMatch(unit, /^(ProtectSystem|PrivateTmp|API)/m);
  }
  assert.match(user, /^WantedBy=default\.target$/m);
  assert.doesNotMatch(user, /^(User|After)=/m);
  assert.match(system, /^After=network-online\.target$/m);
  assert.match(system, /^WantedBy=multi-user\.target$/m);
});

test('windowsArgument() is the inverse of how a program parses arguments', () => {
  const cases = [['a', 'a'], ['', '""'], ['a b', '"a b"'], ['a"b', '"a\\"b"'], ['a\\"b', '"a\\\\\\"b"'], ['C:\\a b\\', '"C:\\a b\\\\"'], ['C:\\a', 'C:\\a']] as const;
  for (const [word, written] of cases) assert.equal(windowsArgument(word), written);
});

test('systemd: its state is read from what systemctl show prints', () => {
  const stdout = 'LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=42\nActiveEnterTimestamp=Sun 2026-08-23 10:00:00 UTC\n';
  assert.deepEqual(systemd.state({ exitCode: 0, stdout, stderr: '' }),
    { detail: 'active (running)', isRunning: true, pid: 42, since: Date.UTC(2026, 7, 23, 10) / 1000 });
  const dead = 'LoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0\nActiveEnterTimestamp=\n';
  assert.deepEqual(systemd.state({ exitCode: 0, stdout: dead, stderr: '' }),
    { detail: 'inactive (dead)', isRunning: false, pid: undefined, since: undefined });
  assert.equal(systemd.state({ exitCode: 1, stdout: '', stderr: 'Failed to connect to bus' }).isRunning, undefined);
});

test('launchd: its state is read from what launchctl print prints', () => {
  const stdout = 'gui/501/machine-sidecar = {\n\tactive count = 1\n\tstate = running\n\n\tprogram = /usr/bin/node\n\tpid = 77\n}\n';
  assert.deepEqual(launchd.state({ exitCode: 0, stdout, stderr: '' }), { detail: 'running', isRunning: true, pid: 77 });
  assert.equal(launchd.state({ exitCode: 113, stdout: '', stderr: 'Could not find service' }).isRunning, false);
});

test('commandLine() can be typed into a shell', () => {
  const line = commandLine({ program: 'printf', args: ['[%s]', "it's", '$HOME', 'a b', 'plain'] });
  assert.equal(execFileSync('sh', ['-c', line], { encoding: 'utf8' }), "[it's][$HOME][a b][plain]");
});

const hasAnalyze = spawnSync('systemd-analyze', ['--version']).status === 0;

test('systemd-analyze finds nothing wrong with the unit, also in a folder with an unusual name', { skip: !hasAnalyze && 'systemd-analyze is not here' }, (t) => {
  const folder = join(temporaryFolder(t), 'we ird %h $x ü');
  mkdirSync(folder);
  const node = join(folder, 'node');
  copyFileSync('/bin/true', node);
  chmodSync(node, 0o755);
  for (const owner of [alice, root]) {
    const file = join(folder, owner.scope, 'machine-sidecar.service');
    mkdirSync(join(folder, owner.scope));
    writeFileSync(file, systemd.describe({ ...service, words: [node, ...service.words.slice(1)] }, owner));
    const { status, stdout, stderr } = spawnSync('systemd-analyze', [`--${owner.scope}`, 'verify', '--man=no', file], {
      encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: folder, XDG_RUNTIME_DIR: folder },
    });
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
  }
});
