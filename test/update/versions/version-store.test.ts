/** The versions directory, on a real file system. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import {
  beginProbation, confirm, isBad, markFailed, mayTry, noVersions, parseVersionState, rollBack, removableVersions, type VersionState,
} from '../../../src/update/versions/version-state.ts';
import { Versions } from '../../../src/update/versions/version-store.ts';
import { builtModule } from '../../support/built.ts';
import { temporaryFolder } from '../../support/server.ts';

const proven = confirm(beginProbation(noVersions, '1.0.1', 100), '1.0.1', 160);

describe('VersionState', () => {
  it('starts with the installed package', () => {
    assert.deepEqual(noVersions, { current: null, previous: null, probation: null, bad: [], lastOutcome: null });
  });

  it('beginProbation() remembers what to go back to', () => {
    const { current, previous, probation } = beginProbation(proven, '1.0.2', 200);
    assert.deepEqual({ current, previous, probation }, { current: '1.0.2', previous: '1.0.1', probation: { version: '1.0.2', startedAt: 200 } });
  });

  it('an update during a probation goes back to the version that has proven itself', () => {
    const twice = beginProbation(beginProbation(proven, '1.0.2', 200), '1.0.3', 210);
    assert.equal(twice.previous, '1.0.1');
    assert.equal(rollBack(twice, '1.0.3', 'it crashed', 220).current, '1.0.1');
  });

  it('a version that is installed anew does not go back to itself', () => {
    const second = confirm(beginProbation(proven, '1.0.2', 200), '1.0.2', 260);
    assert.equal(beginProbation(second, '1.0.2', 300).previous, '1.0.1');
    assert.equal(beginProbation(proven, '1.0.1', 300).previous, null);
    assert.equal(beginProbation(beginProbation(proven, '1.0.2', 200), '1.0.1', 210).previous, null);
  });

  it('confirm() ends the probation, and a bad version that proved itself is good', () => {
    const failed = markFailed(proven, { version: '1.0.2', reason: 'it was not ready', isToBlame: true }, 200);
    const state = confirm(beginProbation(failed, '1.0.2', 300), '1.0.2', 360);
    assert.equal(state.probation, null);
    assert.deepEqual(state.bad, []);
    assert.deepEqual(state.lastOutcome, { kind: 'updated', from: '1.0.1', to: '1.0.2', reason: 'it has proven itself', at: 360 });
  });

  it('confirm() and rollBack() change nothing for a version that is not in probation', () => {
    const updated = beginProbation(proven, '1.0.2', 200);
    assert.equal(confirm(proven, '1.0.1', 300), proven);
    assert.equal(confirm(updated, '1.0.1', 300), updated);
    assert.equal(rollBack(proven, '1.0.1', 'it crashed', 300), proven);
    assert.equal(rollBack(updated, '1.0.1', 'it crashed', 300), updated);
  });

  it('rollBack() puts the previous version back, once, and marks the bad one', () => {
    const state = rollBack(beginProbation(proven, '1.0.2', 200), '1.0.2', 'it crashed', 205);
    assert.deepEqual(state, {
      current: '1.0.1',
      previous: null,
      probation: null,
      bad: [{ version: '1.0.2', reason: 'it crashed', at: 205 }],
      lastOutcome: { kind: 'rolled_back', from: '1.0.2', to: '1.0.1', reason: 'it crashed', at: 205 },
    });
    assert.equal(rollBack(state, '1.0.2', 'it crashed', 206), state);
  });

  it('markFailed() leaves what runs, and blames the version only where it is at fault', () => {
    const down = markFailed(proven, { version: null, reason: 'the registry is down', isToBlame: false }, 200);
    assert.deepEqual(down, { ...proven, lastOutcome: { kind: 'failed', from: '1.0.1', to: null, reason: 'the registry is down', at: 200 } });
    const faulty = markFailed(down, { version: '1.0.2', reason: 'it exited', isToBlame: true }, 201);
    assert.ok(isBad(faulty, '1.0.2') && !isBad(faulty, '1.0.1'));
  });

  it('a bad version is tried again only where it was asked for', () => {
    const faulty = markFailed(proven, { version: '1.0.2', reason: 'it exited', isToBlame: true }, 201);
    assert.deepEqual([true, false].map((isAskedFor) => mayTry(faulty, '1.0.2', { isAskedFor })), [true, false]);
    assert.ok(mayTry(faulty, '1.0.3', { isAskedFor: false }));
  });

  it('remembers the newest 20 bad versions, each once', () => {
    let state: VersionState = proven;
    for (let patch = 0; patch < 30; patch += 1) {
      state = markFailed(state, { version: `2.0.${patch}`, reason: 'it exited', isToBlame: true }, patch);
    }
    state = markFailed(state, { version: '2.0.15', reason: 'again', isToBlame: true }, 99);
    assert.equal(state.bad.length, 20);
    assert.deepEqual(state.bad.at(-1), { version: '2.0.15', reason: 'again', at: 99 });
    assert.ok(!isBad(state, '2.0.9') && isBad(state, '2.0.10'));
  });

  it('whatever a version says of itself can be read back', () => {
    for (const reason of ['\0\ud800\x1b[31m\n', '\ud83d'.repeat(5000), '😀'.repeat(5000), '\0'.repeat(5000), '']) {
      const state = rollBack(beginProbation(proven, '1.0.2', 200), '1.0.2', reason, 205);
      assert.deepEqual(parseVersionState(JSON.stringify(state)), state);
    }
  });

  it('removableVersions() names what is neither needed nor among the newest good ones', () => {
    const bad = [{ version: '1.0.9', reason: '', at: 1 }];
    const all = ['1.0.9', '1.0.8', '1.0.7', '1.0.6', '1.0.5'];
    const rows: readonly (readonly [state: Partial<VersionState>, keep: number, inUse: string[], gone: string[]])[] = [
      [{}, 2, [], ['1.0.9', '1.0.6', '1.0.5']],
      [{ current: '1.0.8', previous: '1.0.7' }, 2, [], ['1.0.9', '1.0.6', '1.0.5']],
      [{ current: '1.0.5', previous: '1.0.6' }, 2, [], ['1.0.9', '1.0.8', '1.0.7']],
      [{ current: '1.0.5' }, 2, [], ['1.0.9', '1.0.7', '1.0.6']],
      [{ current: '1.0.9', previous: '1.0.5' }, 2, [], ['1.0.8', '1.0.7', '1.0.6']],
      [{ current: '1.0.8', previous: '1.0.7' }, 2, ['1.0.5', '1.0.9'], ['1.0.6']],
      [{ current: '1.0.8', previous: '1.0.7' }, 0, [], ['1.0.9', '1.0.6', '1.0.5']],
      [{}, 9, [], ['1.0.9']],
    ];
    for (const [state, keep, inUse, gone] of rows) {
      assert.deepEqual(removableVersions({ ...noVersions, bad, ...state }, all, { keep, inUse }), gone);
    }
  });
});

interface Setting {
  readonly directory: string;
  readonly file: string;
  readonly versions: Versions;
  readonly warnings: string[];
}

function setUp(t: TestContext): Setting {
  const directory = join(temporaryFolder(t), 'versions');
  const warnings: string[] = [];
  const versions = new Versions({ directory, onWarning: (message, error) => { warnings.push(`${message}: ${(error as Error).message}`); } });
  return { directory, file: join(directory, 'update.json'), versions, warnings };
}

async function install(versions: Versions, version: string, content = version): Promise<void> {
  const staging = versions.stagingDirectory();
  mkdirSync(join(staging, 'dist'));
  writeFileSync(join(staging, 'dist', 'main.js'), content);
  await versions.install(staging, version);
}

function contentOf(versions: Versions, version: string): string {
  return readFileSync(join(versions.directoryOf(version), 'dist', 'main.js'), 'utf8');
}

describe('Versions', () => {
  it('is empty before the first update, and reading makes nothing', (t) => {
    const { directory, versions, warnings } = setUp(t);
    assert.deepEqual(versions.read(), noVersions);
    assert.deepEqual(versions.list(), []);
    assert.equal(existsSync(directory), false);
    assert.deepEqual(warnings, []);
  });

  it('change() is read by another program, and nobody else on the machine', (t) => {
    const { directory, file, versions, warnings } = setUp(t);
    const state = versions.change((before) => beginProbation(before, '1.0.1', 100.5));
    const other = new Versions({ directory, onWarning: () => assert.fail('It can be read') });
    assert.deepEqual(other.read(), state);
    assert.equal(other.change((before) => confirm(before, '1.0.1', 160)).probation, null);
    assert.equal(versions.read().probation, null);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    assert.deepEqual(warnings, []);
  });

  it('change() writes nothing where nothing changes', (t) => {
    const { file, versions } = setUp(t);
    versions.change((state) => confirm(state, '1.0.1', 160));
    assert.equal(existsSync(file), false);
  });

  it('a file that is torn or foreign is set aside, reported, and counts as missing', (t) => {
    const good = JSON.stringify(beginProbation(noVersions, '1.0.1', 100));
    const contents = [
      '', good.slice(0, -5), 'null', '[]', '{}', good.replace('"current"', '"other"'),
      good.replace('"current":"1.0.1"', '"current":"../../etc"'), good.replace('"current":"1.0.1"', '"current":"1.0.2"'),
      good.replace('"startedAt":100', '"startedAt":-1'), good.replace('"bad":[]', '"bad":[{"version":"v1"}]'),
    ];
    const { directory, file, versions, warnings } = setUp(t);
    mkdirSync(directory);
    for (const [index, content] of contents.entries()) {
      writeFileSync(file, content);
      assert.deepEqual(versions.read(), noVersions, content);
      assert.equal(warnings.length, index + 1, content);
      assert.equal(readFileSync(`${file}.bad`, 'utf8'), content);
      assert.equal(existsSync(file), false);
    }
  });

  it('what a later version has written beside the rest is passed over', (t) => {
    const { directory, file, versions, warnings } = setUp(t);
    const state = beginProbation(noVersions, '1.0.1', 100);
    mkdirSync(directory);
    writeFileSync(file, JSON.stringify({ ...state, more: 1, probation: { ...state.probation, more: 1 } }));
    assert.deepEqual([versions.read(), warnings], [state, []]);
  });

  it('a directory in the place of the file is no obstacle', (t) => {
    const { file, versions, warnings } = setUp(t);
    mkdirSync(file, { recursive: true });
    assert.deepEqual(versions.read(), noVersions);
    assert.equal(warnings.length, 1);
    assert.equal(versions.change((state) => beginProbation(state, '1.0.1', 100)).current, '1.0.1');
  });

  it('a file that cannot be read for the moment stays, and what was read last counts', { skip: process.getuid?.() === 0 ? 'root reads everything' : false }, (t) => {
    const { file, versions, warnings } = setUp(t);
    const state = versions.change((before) => beginProbation(before, '1.0.1', 100));
    chmodSync(file, 0);
    assert.deepEqual(versions.read(), state);
    assert.equal(warnings.length, 1);
    assert.ok(existsSync(file));
  });

  it('install() makes a staging directory the version', async (t) => {
    const { directory, versions } = setUp(t);
    await install(versions, '1.0.1');
    assert.equal(versions.directoryOf('1.0.1'), join(directory, '1.0.1'));
    assert.equal(contentOf(versions, '1.0.1'), '1.0.1');
    assert.deepEqual(readdirSync(directory), ['1.0.1']);
  });

  it('install() replaces a version that is there, as often as one likes', async (t) => {
    const { directory, versions } = setUp(t);
    for (const content of ['first', 'second', 'third']) {
      await install(versions, '1.0.1', content);
      assert.equal(contentOf(versions, '1.0.1'), content);
      assert.deepEqual(versions.list(), ['1.0.1']);
    }
    await versions.clean();
    assert.deepEqual(readdirSync(directory), ['1.0.1']);
    assert.equal(contentOf(versions, '1.0.1'), 'third');
  });

  it('a version whose replacement was cut short can be used, and is put back by the next start', async (t) => {
    const { directory, versions } = setUp(t);
    await install(versions, '1.0.1', 'first');
    renameSync(join(directory, '1.0.1'), join(directory, '.replaced-1.0.1'));
    assert.equal(contentOf(versions, '1.0.1'), 'first');
    assert.deepEqual(versions.list(), ['1.0.1']);
    await versions.clean();
    assert.deepEqual(readdirSync(directory), ['1.0.1']);
    assert.equal(contentOf(versions, '1.0.1'), 'first');
  });

  it('install() after a replacement that was cut short', async (t) => {
    const { directory, versions } = setUp(t);
    await install(versions, '1.0.1', 'first');
    renameSync(join(directory, '1.0.1'), join(directory, '.replaced-1.0.1'));
    await install(versions, '1.0.1', 'second');
    assert.equal(contentOf(versions, '1.0.1'), 'second');
  });

  it('install() that fails leaves the version that is there', async (t) => {
    const { directory, versions } = setUp(t);
    await install(versions, '1.0.1', 'first');
    await assert.rejects(versions.install(join(directory, '.staging-1-gone-1'), '1.0.1'), { code: 'ENOENT' });
    assert.equal(contentOf(versions, '1.0.1'), 'first');
    assert.deepEqual(readdirSync(directory), ['1.0.1']);
  });

  it('a program that looks all the time never misses a version that is replaced', async (t) => {
    const { directory, versions } = setUp(t);
    await install(versions, '1.0.1', 'x'.repeat(1000));
    const looker = `
      import { existsSync, readFileSync, writeSync } from 'node:fs';
      import { Versions } from ${JSON.stringify(builtModule('update/versions/version-store'))};
      const versions = new Versions({ directory: ${JSON.stringify(directory)}, onWarning: () => {} });
      let looks = 0;
      writeSync(1, 'looking');
      for (; !existsSync(${JSON.stringify(join(directory, 'enough'))}); looks += 1) {
        if (versions.list().length !== 1) throw new Error('The list is empty');
      }
      process.exitCode = looks > 0 ? 0 : 3;`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', looker], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    for (let turn = 0; turn < 200; turn += 1) await install(versions, '1.0.1', 'x'.repeat(1000));
    writeFileSync(join(directory, 'enough'), '');
    assert.deepEqual(await ended, [0, null]);
  });

  it('list() names only versions that are directories, the newest first', async (t) => {
    const { directory, versions } = setUp(t);
    for (const version of ['1.0.2', '1.0.10', '1.0.10-beta.1', '0.9.0']) await install(versions, version);
    for (const name of ['v1.0.0', '1.0', '01.0.0', 'other']) mkdirSync(join(directory, name));
    writeFileSync(join(directory, '3.0.0'), '');
    symlinkSync(directory, join(directory, '4.0.0'));
    versions.stagingDirectory();
    assert.deepEqual(versions.list(), ['1.0.10', '1.0.10-beta.1', '1.0.2', '0.9.0']);
  });

  it('refuses a version that would name another directory', async (t) => {
    const { versions } = setUp(t);
    for (const version of ['', '..', '../1.0.0', '1.0.0/..', 'update.json', '1.0.0\0', '1.0.0\n']) {
      assert.throws(() => versions.directoryOf(version), RangeError);
      await assert.rejects(versions.install(versions.stagingDirectory(), version), RangeError);
    }
  });

  it('prune() leaves the versions that are needed, and nothing of the others', async (t) => {
    const { directory, versions } = setUp(t);
    for (const version of ['1.0.0', '1.0.1', '1.0.2', '1.0.3', '1.0.4']) await install(versions, version);
    await install(versions, '1.0.0', 'again');
    versions.change(() => beginProbation(confirm(beginProbation(noVersions, '1.0.1', 1), '1.0.1', 2), '1.0.3', 3));
    assert.deepEqual(await versions.prune({ keep: 2, inUse: ['1.0.2'] }), ['1.0.4', '1.0.0']);
    assert.deepEqual(readdirSync(directory).sort(), ['1.0.1', '1.0.2', '1.0.3', 'update.json']);
    assert.deepEqual(await versions.prune({ keep: 2 }), ['1.0.2']);
  });

  it('clean() removes what was abandoned, and nothing that is still worked on', async (t) => {
    const { directory, versions, warnings } = setUp(t);
    await install(versions, '1.0.1');
    versions.change((state) => beginProbation(state, '1.0.1', 100));
    const mine = versions.stagingDirectory();
    const gone = Number(execFileSync('sh', ['-c', 'echo $$'], { encoding: 'utf8' }));
    for (const name of [`.staging-${gone}-123-1`, `.removed-${gone}-123-2`, `.staging-${process.pid}-1-1`]) {
      mkdirSync(join(directory, name, 'dist'), { recursive: true });
      writeFileSync(join(directory, name, 'dist', 'main.js'), '');
    }
    for (const name of [`update.json.${gone}.1`, `update.json.${process.pid}.9`, `update.json.${process.ppid}.1`, 'update.json.bad']) {
      writeFileSync(join(directory, name), '');
    }
    await versions.clean();
    assert.deepEqual(readdirSync(directory).sort(), [
      mine.slice(directory.length + 1), '1.0.1', 'update.json', `update.json.${process.ppid}.1`, 'update.json.bad',
    ].sort());
    assert.deepEqual(warnings, []);
  });

  it('100 updates in a row leave two versions', async (t) => {
    const { directory, versions } = setUp(t);
    for (let patch = 1; patch <= 100; patch += 1) {
      const version = `1.0.${patch}`;
      await install(versions, version);
      versions.change((state) => confirm(beginProbation(state, version, patch), version, patch));
      await versions.prune({ keep: 2 });
    }
    assert.deepEqual(readdirSync(directory).sort(), ['1.0.100', '1.0.99', 'update.json']);
  });
});
