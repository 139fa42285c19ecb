/** Launchers, and Node's own way where there is no bash: the same expectations of both. */
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { findProcesses } from '../../../src/process/descendants.ts';
import { DirectStarter } from '../../../src/process/launcher/direct.ts';
import { isGroupAlive, readStat, sendSignal } from '../../../src/process/identity.ts';
import { ForkServer } from '../../../src/process/launcher/fork-server.ts';
import { StdinHolder } from '../../../src/process/launcher/stdin-holder.ts';
import type { Launch } from '../../../src/process/launcher/launch-script.ts';
import { LauncherPool, findBash } from '../../../src/process/launcher/pool.ts';
import { SparePool } from '../../../src/process/launcher/spares.ts';
import type { Starter, StarterEvents } from '../../../src/process/launcher/starter.ts';
import { childrenOf } from '../../support/processes.ts';
import { atEnd, temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

type Heard = {
  readonly started: Set<string>; readonly exits: Map<string, number>; readonly claimed: string[]; readonly failed: Map<string, string>;
  readonly orphaned: string[];
};

interface Setting {
  readonly first: ForkServer;
  readonly keeper: StdinHolder;
  readonly starter: Starter;
  readonly heard: Heard;
  readonly folder: string;
  /** What keeps the stdin of jobs open. */
  readonly holds: ReadonlyMap<string, string | undefined>;
  /** A directory as the store makes it. */
  readonly make: (id: string) => Promise<string>;
  readonly launch: (id: string, argv: readonly string[], more?: Partial<Launch>) => Promise<string>;
}

const bash = findBash();

function setUp(t: TestContext, kind: 'launchers' | 'direct'): Setting {
  const folder = temporaryFolder(t);
  const jobsDirectory = join(folder, 'jobs');
  mkdirSync(jobsDirectory);
  const heard: Heard = { started: new Set(), exits: new Map(), claimed: [], failed: new Map(), orphaned: [] };
  const events: StarterEvents = {
    onStarted: (id) => { assert.ok(!heard.started.has(id), 'each start is told once'); heard.started.add(id); },
    onExit: (id, { code }) => {
      assert.ok(heard.started.has(id), 'no end without a start');
      assert.ok(!heard.exits.has(id), 'each end is told once');
      heard.exits.set(id, code ?? -1);
    },
    onClaimed: (id) => { heard.claimed.push(id); },
    onFailed: (id, error) => { heard.failed.set(id, error.message); },
    onOrphaned: (id) => { heard.orphaned.push(id); },
  };
  const env = { PATH: process.env['PATH'] ?? '', INHERITED: 'yes' };
  const first = new ForkServer({ bash: bash ?? '', jobsDirectory, env, onWarning: () => undefined });
  const keeper = new StdinHolder({ forkServer: first, stateDir: folder, onWarning: () => undefined });
  const spares = new SparePool(first, join(folder, 'spares'), keeper);
  const fifos = new SparePool(first, join(folder, 'fifos'));
  const starter = kind === 'direct' ? new DirectStarter(events, { env })
    : new LauncherPool({ ...events, forkServer: first, stdinHolder: keeper, fifos, jobsDirectory, onWarning: () => undefined });
  const ids: string[] = [];
  // The last first.
  atEnd(t, () => until(async () => {
    const left = [...(await findProcesses(ids.map((id) => ({ id, leader: undefined })))).values()].flat();
    for (const { pid } of left) sendSignal(pid, 'SIGKILL');
    return left.length === 0;
  }, { what: 'no job is left' }));
  atEnd(t, () => { keeper.close(); first.close(); });
  atEnd(t, () => Promise.all([spares.close(), fifos.close()]));
  atEnd(t, () => starter.close());
  const holds = new Map<string, string | undefined>();
  const make = async (id: string): Promise<string> => {
    ids.push(id);
    const directory = join(jobsDirectory, id);
    if (kind === 'direct') mkdirSync(directory);
    else {
      const spare = await spares.take();
      renameSync(spare.path, directory);
      holds.set(id, spare.lease);
    }
    return directory;
  };
  const launch: Setting['launch'] = async (id, argv, more = {}) => {
    const directory = await make(id);
    starter.start({ id, directory, stdin: 'null', workdir: folder, env: {}, argv, ...more });
    return directory;
  };
  return { first, keeper, starter, heard, folder, holds, make, launch };
}

const name = (label: string): string => `${label}-${process.pid}`;

for (const kind of ['launchers', 'direct'] as const) {
  describe(kind, { skip: process.platform !== 'linux' ? 'needs /proc' : kind === 'launchers' && bash === undefined ? 'there is no bash' : false }, () => {
    it('runs a job: code, output, environment, workdir, a group of its own', async (t) => {
      const { heard, folder, launch } = setUp(t, kind);
      const id = name('simple');
      const script = 'echo "$INHERITED $GIVEN $SIDECAR_JOB_ID"; pwd -P; cat /proc/$$/stat >&2; exit 7';
      const directory = await launch(id, ['/bin/sh', '-c', script], { env: { GIVEN: 'a b' } });
      await until(() => heard.exits.get(id) === 7, { what: 'its end is told' });
      assert.equal(readFileSync(join(directory, 'exit'), 'utf8'), '7\n');
      assert.equal(readFileSync(join(directory, 'stdout'), 'utf8'), `yes a b ${id}\n${folder}\n`);
      const stat = readFileSync(join(directory, 'stderr'), 'utf8').replace(/^.*\) /, '').split(' ');
      assert.equal(stat[2], readFileSync(join(directory, 'process'), 'utf8').split(' ')[0]);
    });

    it('writes nothing behind a link in the place of the directory of a job', async (t) => {
      const { heard, folder, make, starter } = setUp(t, kind);
      const id = name('linked');
      const directory = await make(id);
      const outside = join(folder, 'outside');
      mkdirSync(outside);
      for (const file of ['exit', 'stderr']) writeFileSync(join(outside, file), 'ours');
      const launch = { id, directory, stdin: 'null', workdir: folder, env: {} } as const;
      if (kind === 'launchers') {
        renameSync(directory, `${directory}-aside`);
        symlinkSync(outside, directory);
        starter.start({ ...launch, argv: ['true', 'x'.repeat(5000)] });
        await until(() => heard.failed.has(id), { what: 'it is told' });
        assert.match(heard.failed.get(id) ?? '', /is a link/);
      } else {
        starter.start({ ...launch, argv: ['/bin/sh', '-c', 'mv "$0" "$0-aside" && ln -s "$1" "$0"; exit 3', directory, outside] });
        await until(() => heard.exits.get(id) === 3, { what: 'its end is told' });
      }
      assert.deepEqual(readdirSync(outside).map((file) => [file, readFileSync(join(outside, file), 'utf8')]), [['exit', 'ours'], ['stderr', 'ours']]);
    });

    it('tells how a signal ends one, and that a program is missing', async (t) => {
      const { heard, launch } = setUp(t, kind);
      await launch(name('killed'), ['/bin/sh', '-c', 'kill -KILL $$']);
      const missing = await launch(name('missing'), ['no-such-program-at-all']);
      await launch(name('folder'), ['/tmp']);
      await until(() => heard.exits.size === 3, { what: 'all ends are told' });
      assert.deepEqual([...heard.exits].sort(), [[name('folder'), 126], [name('killed'), 137], [name('missing'), 127]]);
      assert.match(readFileSync(join(missing, 'stderr'), 'utf8'), /no-such-program-at-all: not found/);
    });

    it('takes a burst of 200 jobs', async (t) => {
      const { heard, folder, launch } = setUp(t, kind);
      await Promise.all(Array.from({ length: 200 }, (_, index) =>
        launch(name(`burst-${index}`), ['/bin/sh', '-c', `echo ${index} >>'${folder}/ledger'; echo ${index}; exit ${index % 100}`])));
      await until(() => heard.exits.size === 200, { what: 'all ends are told' });
      for (let index = 0; index < 200; index += 1) {
        assert.equal(heard.exits.get(name(`burst-${index}`)), index % 100);
        assert.equal(readFileSync(join(folder, 'jobs', name(`burst-${index}`), 'stdout'), 'utf8'), `${index}\n`);
      }
      const ran = readFileSync(join(folder, 'ledger'), 'utf8').trim().split('\n').map(Number).sort((a, b) => a - b);
      assert.deepEqual(ran, Array.from({ length: 200 }, (_, index) => index));
    });

    it('gives stdin and closes it, many jobs at once', async (t) => {
      const { starter, heard, holds, launch } = setUp(t, kind);
      const ids = Array.from({ length: 30 }, (_, index) => name(`reader-${index}`));
      const directories = new Map<string, string>();
      for (const id of ids) directories.set(id, await launch(id, ['/bin/sh', '-c', 'echo up; cat; exit 5'], { stdin: 'fifo' }));
      await Promise.all(ids.map(async (id) => {
        const directory = directories.get(id) ?? '';
        const printed = (text: string): Promise<unknown> =>
          until(() => readFileSync(join(directory, 'stdout'), 'utf8') === text, { what: `${id} printed ${text}` });
        await until(() => { try { return readFileSync(join(directory, 'stdout'), 'utf8') === 'up\n'; } catch { return false; } }, { what: `${id} is up` });
        assert.deepEqual(starter.writeStdin(id, directory, Buffer.from('some\n')), { writtenBytes: 5 });
        await printed('up\nsome\n');
        assert.ok(!heard.exits.has(id));
        assert.equal(starter.closeStdin(id, holds.get(id)), true);
      }));
      await until(() => heard.exits.size === ids.length, { what: 'all end' });
      assert.deepEqual([...heard.exits.values()], ids.map(() => 5));
      assert.equal(starter.writeStdin(ids[0] ?? '', directories.get(ids[0] ?? '') ?? '', Buffer.from('x')), 'closed');
    });

    it('stdin from a file, and none', async (t) => {
      const { starter, heard, make, folder } = setUp(t, kind);
      for (const [id, stdin, expected] of [[name('file'), 'file', 'given'], [name('null'), 'null', '']] as const) {
        const directory = await make(id);
        if (kind === 'launchers') renameSync(join(directory, 'stdin'), join(directory, 'old'));
        writeFileSync(join(directory, 'stdin'), 'given');
        starter.start({ id, directory, stdin, workdir: folder, env: {}, argv: ['cat'] });
        await until(() => heard.exits.get(id) === 0, { what: 'it ends' });
        assert.equal(readFileSync(join(directory, 'stdout'), 'utf8'), expected);
      }
    });

    it('a job whose directory is gone cannot be started, and the next can', async (t) => {
      const { starter, heard, folder, launch } = setUp(t, kind);
      const id = name('nowhere');
      starter.start({ id, directory: join(folder, 'jobs', id), stdin: 'null', workdir: folder, env: {}, argv: ['true'] });
      await until(() => heard.failed.has(id) || heard.exits.get(id) === 126, { what: 'that is told' });
      await launch(name('next'), ['true']);
      await until(() => heard.exits.get(name('next')) === 0, { what: 'the next runs' });
    });
  });
}

describe('Launchers', { skip: process.platform !== 'linux' || bash === undefined ? 'needs bash and /proc' : false }, () => {
  it('one directory that is handed out many times runs once', async (t) => {
    const { starter, heard, folder, make } = setUp(t, 'launchers');
    for (let round = 0; round < 20; round += 1) {
      const id = name(`claim-${round}`);
      const directory = await make(id);
      const launch: Launch = { id, directory, stdin: 'null', workdir: folder, env: {}, argv: ['/bin/sh', '-c', 'echo ran; exit 3'] };
      // Under other names, so that each is a job of its own to the launchers.
      const again = [1, 2].map((number) => ({ ...launch, id: `${id}-${number}` }));
      for (const one of [launch, ...again]) starter.start(one);
      const all = [id, ...again.map((one) => one.id)];
      await until(() => all.every((one) => heard.exits.has(one) || heard.claimed.includes(one)), { what: 'all are told of' });
      assert.equal(all.filter((one) => heard.exits.get(one) === 3).length, 1);
      assert.equal(all.filter((one) => heard.claimed.includes(one)).length, 2);
      assert.equal(readFileSync(join(directory, 'stdout'), 'utf8'), 'ran\n');
      assert.equal(readFileSync(join(directory, 'exit'), 'utf8'), '3\n');
    }
  });

  it('a job goes on and says how it ended after its starter has gone', async (t) => {
    const { starter, folder, launch } = setUp(t, 'launchers');
    const gate = join(folder, 'gate');
    const directory = await launch(name('outlives'), ['/bin/sh', '-c', `echo up; while [ ! -e '${gate}' ]; do sleep 0.05; done; exit 9`], { stdin: 'fifo' });
    await until(() => readFileSync(join(directory, 'stdout'), 'utf8') === 'up\n', { what: 'it runs' });
    const launcher = readStat(Number(readFileSync(join(directory, 'process'), 'utf8').split(' ')[0]))?.parentPid ?? 0;
    starter.close();
    appendFileSync(gate, '');
    await until(() => readFileSync(join(directory, 'exit'), 'utf8') === '9\n', { what: 'its exit is written' });
    await until(() => !isGroupAlive(launcher), { what: 'its launcher goes after it' });
  });

  it('launchers end with the starter, used or not', async (t) => {
    const { first, keeper, starter, heard, launch } = setUp(t, 'launchers');
    await Promise.all(Array.from({ length: 10 }, (_, index) => launch(name(`end-${index}`), ['true'])));
    await until(() => heard.exits.size === 10, { what: 'all have run' });
    const ours = (): number[] => [...new Set(childrenOf(process.pid).flatMap((pid) => [pid, ...childrenOf(pid)]))]
      .filter((pid) => { try { return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('sidecar-launcher'); } catch { return false; } });
    const known = ours();
    assert.ok(known.length >= 2);
    starter.close();
    keeper.close();
    first.close();
    await until(() => known.every((pid) => (readStat(pid)?.state ?? 'Z') === 'Z'), { what: 'all launchers are gone' });
  });

  it('a launcher whose FIFO is gone before it opens it ends, and makes no file of its name', async (t) => {
    const folder = temporaryFolder(t);
    const first = new ForkServer({ bash: bash ?? '', jobsDirectory: folder, env: {}, onWarning: () => undefined });
    atEnd(t, () => first.close());
    first.fork(1, join(folder, 'fifo'));
    await first.runTask(['true'], { isUrgent: true });
    await until(() => childrenOf(process.pid).every((pid) => childrenOf(pid).length === 0), { what: 'it has ended' });
    assert.deepEqual(readdirSync(folder), []);
  });

  it('nothing of the user’s runs in the first bash, though its stdin is a socket, as under sshd', async (t) => {
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, '.bashrc'), 'echo "$0" >>"$HOME/ran"\n');
    // Without SHLVL: as under systemd.
    const env = { PATH: process.env['PATH'] ?? '', HOME: folder, SSH_CLIENT: '127.0.0.1 1 22', BASH_ENV: join(folder, '.bashrc') };
    const first = new ForkServer({ bash: bash ?? '', jobsDirectory: folder, env, onWarning: () => undefined });
    atEnd(t, () => first.close());
    await first.runTask(['true'], { isUrgent: true });
    assert.equal(existsSync(join(folder, 'ran')), false);
  });

  it('a text in the file of its process keeps a job from being run, and is nobody who runs it', async (t) => {
    const { starter, heard, folder, make } = setUp(t, 'launchers');
    for (const [index, text] of ['garbage\n', 'nobody\n', '12345 (sh) S 1 1\n'].entries()) {
      const id = name(`marked-${index}`);
      const directory = await make(id);
      writeFileSync(join(directory, 'process'), text);
      starter.start({ id, directory, stdin: 'null', workdir: folder, env: {}, argv: ['touch', join(folder, 'ran')] });
    }
    await until(() => heard.exits.size + heard.claimed.length === 3, { what: 'all are told' });
    assert.deepEqual([...heard.exits], [[name('marked-0'), 126]]);
    assert.deepEqual([...heard.claimed].sort(), [name('marked-1'), name('marked-2')]);
    assert.equal(existsSync(join(folder, 'ran')), false);
  });

  it('a job that was not handed on yet can be taken back', async (t) => {
    const { starter, heard, folder, make } = setUp(t, 'launchers');
    const launches: Launch[] = [];
    for (let index = 0; index < 5; index += 1) {
      const id = name(`back-${index}`);
      launches.push({ id, directory: await make(id), stdin: 'null', workdir: folder, env: {}, argv: ['true'] });
    }
    for (const launch of launches) starter.start(launch);
    // Nothing is handed on before the launchers are there, which takes more than this turn.
    const back = launches.slice(2).map(({ id }) => starter.withdraw(id));
    assert.ok(back.includes(true));
    const left = launches.filter(({ id }, index) => index < 2 || !(back[index - 2] ?? false) || heard.exits.has(id));
    await until(() => left.every(({ id }) => heard.exits.has(id)), { what: 'the others run' });
    assert.equal(heard.exits.size, left.length);
    assert.equal(starter.withdraw('unknown'), false);
  });
});

it('the end of a server does not wait for a script whose shell was killed', async (t) => {
  const first = { chore: () => new Promise<void>(() => undefined) } as unknown as ForkServer;
  const spares = new SparePool(first, join(temporaryFolder(t), 'spares'));
  void spares.take().catch(() => undefined);
  const begin = performance.now();
  // What went wrong: it waited for a minute, until the chore was given up.
  await spares.close();
  assert.ok(performance.now() - begin < 30_000);
});
