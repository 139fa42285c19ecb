/** The sources, the pages and the help are in plain words, and no line is longer than a screen is wide. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { maxColumns, unwantedWordsIn } from '../scripts/figures/language.ts';
import { texts } from '../scripts/figures/measure.ts';
import { commandGroups } from '../src/cli/catalog.ts';
import { commandHelp, programHelp } from '../src/cli/help.ts';

/** Lines that keep an unwanted word, as programs of another version read it: the file, a part of the line, and why. */
const kept: readonly (readonly [path: string, part: string, reason: string])[] = [
  ['src/jobs/store/store.ts', "= 'nobody';", 'the first line of the file `process` of a job that must not start'],
  ['src/process/launcher/launcher.bash', 'in nobody) return ;;', 'the same line, read by launchers'],
  ['src/process/launcher/launcher.bash', 'echo "keeper $sc_name', 'a word between a stdin holder and servers of other versions'],
  ['src/process/launcher/stdin-holder.ts', "word === 'keeper'", 'the same word, read by the server'],
  ['src/process/launcher/stdin-holder.ts', "'keepers')", 'the name of a folder in the state directory'],
  ['src/ARCHITECTURE.md', '`keepers/`', 'the same folder'],
  ['src/ARCHITECTURE.md', '  keepers/  ', 'the same folder'],
  ['src/cli/service/schtasks.ts', '<StopIfGoingOnBatteries>', 'a name of the Task Scheduler'],
  ['scripts/figures/language.ts', '/', 'the list itself, and its example'],
];

const root = fileURLToPath(new URL('../', import.meta.url));
const all = texts(root);

test('the sources, scripts and pages hold no archaic word', () => {
  report(all.flatMap(({ path, lines }) => lines.flatMap((line, index) =>
    isKept(path, line) ? [] : unwantedWordsIn(line).map((word) => `${path}:${index + 1} ${word}: ${line.trim()}`))));
});

test('each line that keeps an unwanted word is still there', () => {
  report(kept.flatMap(([path, part]) => {
    const isThere = all.some((text) => text.path === path && text.lines.some((line) => line.includes(part)));
    return isThere ? [] : [`${path} no longer holds ${part}: take it off the list`];
  }));
});

test(`no line of the sources, scripts and pages is longer than ${maxColumns} characters`, () => {
  report(all.flatMap(({ path, lines }) => lines.flatMap((line, index) =>
    line.length > maxColumns ? [`${path}:${index + 1} has ${line.length} characters`] : [])));
});

test('the help of each command is in plain words and fits the screen', async () => {
  const groups = await commandGroups();
  const plain = (_: string, text: string): string => text;
  const pages = groups.flatMap(({ commands }) => commands).map((command) =>
    ({ name: command.name, text: commandHelp(command, plain) }));
  report([{ name: '(program)', text: programHelp(groups, plain) }, ...pages].flatMap(({ name, text }) =>
    text.split('\n').flatMap((line) => [
      ...unwantedWordsIn(line).map((word) => `${name} --help: ${word}: ${line}`),
      ...(line.length > maxColumns ? [`${name} --help: ${line.length} characters: ${line}`] : []),
    ])));
});

function isKept(path: string, line: string): boolean {
  return kept.some(([file, part]) => file === path && line.includes(part));
}

function report(faults: readonly string[]): void {
  assert.ok(faults.length === 0, `\n  ${faults.join('\n  ')}`);
}
