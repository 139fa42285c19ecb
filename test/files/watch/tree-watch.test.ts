/** Trees that change while they are watched: what is told makes a second tree the same as the first. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync, chmodSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { holdDirectory } from '../../../src/base/files/roots.ts';
import { ChangeRing } from '../../../src/files/watch/change-ring.ts';
import { type TreeChange, TreeWatch } from '../../../src/files/watch/tree-watch.ts';
import { numbersFrom } from '../../support/random.ts';
import { temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

interface Watched {
  readonly folder: string;
  readonly told: TreeChange[];
  readonly tree: TreeWatch;
  readonly ends: unknown[];
  /** What is there, by what was told. */
  readonly known: Map<string, string>;
}

async function watched(t: TestContext, prepare: (folder: string) => void = () => undefined, only?: string): Promise<Watched> {
  const folder = temporaryFolder(t);
  prepare(folder);
  const [told, ends]: [TreeChange[], unknown[]] = [[], []];
  const known = new Map(treeOf(folder).map((line) => line.split(' ') as [string, string]));
  const tree = new TreeWatch({
    held: await holdDirectory(folder), only, leftOut: ['.git'], onEnd: (error) => ends.push(error),
    onChanges: (changes) => {
      told.push(...changes);
      for (const { type, path, fileType } of changes) {
        if (type !== 'deleted') known.set(path, fileType);
        else for (const one of [...known.keys()]) if (one === path || one.startsWith(`${path}/`)) known.delete(one);
      }
    },
  });
  t.after(() => tree.close());
  await tree.start();
  return { folder, told, tree, ends, known };
}

function treeOf(folder: string, below = ''): string[] {
  return readdirSync(join(folder, below), { withFileTypes: true }).filter(({ name }) => name !== '.git').flatMap((entry) => {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) return [`${path} directory`, ...treeOf(folder, path)];
    return [`${path} ${entry.isSymbolicLink() ? 'symlink' : 'file'}`];
  }).sort();
}

const lines = ({ told }: Watched): string[] => told.map(({ type, path, fileType }) => `${type} ${path} ${fileType}`);

async function tells(watch: Watched, expected: readonly string[]): Promise<void> {
  await until(() => watch.told.length >= expected.length, { what: `told: ${expected.join(', ')}` });
  assert.deepEqual(lines(watch), expected);
  watch.told.length = 0;
}

test('each change is told once, with its kind', { skip: process.platform === 'win32' }, async (t) => {
  const watch = await watched(t, (folder) => {
    mkdirSync(join(folder, 'd'));
    writeFileSync(join(folder, 'f'), 'one');
    writeFileSync(join(folder, 'd/g'), 'one');
  });
  const { folder } = watch;
  const at = (name: string): string => join(folder, name);
  writeFileSync(at('new'), '');
  await tells(watch, ['created new file']);
  appendFileSync(at('d/g'), 'two');
  await tells(watch, ['changed d/g file']);
  chmodSync(at('f'), 0o600);
  await tells(watch, ['changed f file']);
  chmodSync(at('d'), 0o700);
  await tells(watch, ['changed d directory']);
  utimesSync(at('f'), 1, 1);
  await tells(watch, ['changed f file']);
  symlinkSync('/etc', at('link'));
  await tells(watch, ['created link symlink']);
  renameSync(at('new'), at('d/moved'));
  await until(() => watch.told.length === 2, { what: 'both ends of a rename' });
  assert.deepEqual(lines(watch).sort(), ['created d/moved file', 'deleted new file']);
  watch.told.length = 0;
  renameSync(at('d'), at('e'));
  await until(() => watch.told.length === 4, { what: 'a directory with another name' });
  assert.deepEqual(lines(watch).sort(), ['created e directory', 'created e/g file', 'created e/moved file', 'deleted d directory']);
  watch.told.length = 0;
  rmSync(at('f'));
  mkdirSync(at('f'));
  await tells(watch, ['deleted f file', 'created f directory']);
  mkdirSync(at('.git'));
  writeFileSync(at('.git/x'), '');
  writeFileSync(at('f/in it'), '');
  await tells(watch, ['created f/in it file']);
  rmSync(at('e'), { recursive: true });
  await until(() => lines(watch).includes('deleted e directory'), { what: 'a directory is deleted' });
  assert.deepEqual([watch.tree.directories, watch.ends], [2, []]);
});

test('what comes in a burst, deep and wide, is told completely', async (t) => {
  const watch = await watched(t);
  const { folder, known } = watch;
  execFileSync('mkdir', ['-p', join(folder, 'a/b/c/d/e/f/g')]);
  writeFileSync(join(folder, 'a/b/c/d/e/f/g/deep'), '');
  for (let index = 0; index < 6_000; index += 1) writeFileSync(join(folder, `a/${index}`), '');
  await until(() => known.size === treeOf(folder).length, { what: 'all of it is told' });
  assert.deepEqual([...known].map((entry) => entry.join(' ')).sort(), treeOf(folder));
  assert.equal(new Set(lines(watch)).size, watch.told.length);
  rmSync(join(folder, 'a'), { recursive: true });
  await until(() => known.size === 0, { what: 'it is told as gone' });
  assert.equal(watch.tree.directories, 1);
});

test('after any changes, what was told is what is there', async (t) => {
  const watch = await watched(t, (folder) => { for (const name of ['a', 'b']) mkdirSync(join(folder, name)); });
  const { folder, known } = watch;
  const random = numbersFrom(7);
  const path = (): string => join(folder, Array.from({ length: 1 + random(3) }, () => 'abc'[random(3)]).join('/'));
  const acts: readonly (() => void)[] = [
    () => writeFileSync(path(), String(random(1000))), () => mkdirSync(path(), { recursive: true }), () => renameSync(path(), path()),
    () => rmSync(path(), { recursive: true }), () => symlinkSync('b', path()),
  ];
  for (let times = 0; times < 3_000; times += 1) {
    try {
      acts[random(acts.length)]?.();
    } catch {
      // It is not possible at the moment.
    }
    if (times % 100 === 0) await new Promise((resolve) => { setTimeout(resolve, random(70)); });
  }
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'last'), '');
  await until(() => known.has('last') && [...known].map((entry) => entry.join(' ')).sort().join() === treeOf(folder).join(), { what: 'both trees are the same' });
});

test('a watch of one file tells only of it, and a directory that is deleted ends its watch', async (t) => {
  const one = await watched(t, (folder) => { writeFileSync(join(folder, 'f'), ''); }, 'f');
  writeFileSync(join(one.folder, 'other'), '');
  writeFileSync(join(one.folder, 'f'), 'x');
  await tells(one, ['changed f file']);
  const { folder, ends } = await watched(t);
  rmSync(folder, { recursive: true });
  await until(() => ends.length === 1, { what: 'the watch has ended' });
  assert.deepEqual(ends, [undefined]);
});

test('a ring gives each follower what comes after its position, and tells when that is lost', async () => {
  const ring = new ChangeRing(3);
  const change = (path: string) => ({ type: 'created', path, fileType: 'file', at: 1 }) as const;
  ring.add([change('a'), change('b')]);
  const { id } = ring;
  ring.add([change('c')]);
  const rest = async (after: number | undefined): Promise<string[]> => {
    const told: string[] = [];
    for await (const one of ring.follow(after, new AbortController().signal)) told.push(one.type === 'lost' ? 'lost' : one.change.path);
    return told;
  };
  const position = ring.positionOf(id);
  assert.deepEqual([position, ring.positionOf(`${id}9`), ring.positionOf('other-1'), ring.positionOf('x')], [2, undefined, undefined, undefined]);
  const slow = ring.follow(0, new AbortController().signal);
  assert.equal((await slow.next()).value?.type, 'change');
  ring.add([change('d'), change('e'), change('f')]);
  assert.equal(ring.positionOf(id), undefined);
  assert.equal((await slow.next()).value?.type, 'lost');
  ring.end();
  assert.deepEqual([await rest(3), await rest(2), await rest(undefined)], [['d', 'e', 'f'], ['lost'], []]);
  assert.equal((await slow.next()).done, true);
});
