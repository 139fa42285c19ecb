/** The pages point to what is there: each path that they name, each link between them, each page of the README. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { filesIn } from '../scripts/figures/measure.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const pages = ['README.md', ...['src', '.github'].flatMap((folder) => filesIn(root, folder))]
  .filter((path) => path.endsWith('.md'))
  .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));

test('each path that a page names is there', () => {
  const named = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/(?<![\w/.-])(?:src|test|scripts|\.github|\.ci)\/[\w./-]*\w/g)].map(([name]) => ({ path, name })));
  assert.ok(named.length > 100, 'the paths are found');
  const missing = named.filter(({ name }) => !existsSync(join(root, name)));
  assert.deepEqual(missing.map(({ path, name }) => `${path}: ${name}`), []);
});

test('each link of a page leads to a page, and to a heading of it', () => {
  const links = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, target = '']) => ({ path, target })));
  assert.ok(links.length > 15, 'the links are found');
  for (const { path, target } of links) {
    const [file = '', heading] = target.split('#');
    const page = file === '' ? path : join(dirname(path), file);
    assert.ok(existsSync(join(root, page)), `${path}: ${target}`);
    if (heading === undefined) continue;
    const headings = [...readFileSync(join(root, page), 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => title);
    assert.ok(headings.some((title) => anchorOf(title) === heading), `${path}: ${target}`);
  }
});

test('the README leads to every page', () => {
  const readme = pages.find(({ path }) => path === 'README.md')?.text ?? '';
  const missing = pages.filter(({ path }) => path !== 'README.md' && !readme.includes(`](${path})`));
  assert.deepEqual(missing.map(({ path }) => path), []);
});

test('the page for contributors has each recipe', () => {
  const page = pages.find(({ path }) => path === '.github/CONTRIBUTING.md')?.text ?? '';
  for (const what of ['a field of `POST /exec`', 'a route', 'a command', 'a shell', 'a kind of job', 'an agent']) {
    assert.ok(page.includes(`### Add ${what}\n`), what);
  }
});

/** As GitHub makes it. */
function anchorOf(title: string): string {
  return title.toLowerCase().replaceAll(/[^\w -]/g, '').replaceAll(' ', '-');
}
