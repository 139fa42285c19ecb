import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { escapeJson, escapeText, exposeText } from '../../../src/base/text/escape.ts';
import { columnsOf } from '../../../src/cli/io/columns.ts';
import { ago, duration, fields, oneLine, painter, size, table } from '../../../src/cli/io/print.ts';
import { bytes, pairs, seconds, signalName } from '../../../src/cli/values.ts';

describe('print', () => {
  it('table() aligns its columns and cuts the last one at the width', () => {
    const rows = [['a', 'short'], [{ text: 'long id', colour: 'red' as const }, 'x'.repeat(50)]];
    assert.equal(table(['ID', 'TEXT'], rows, { paint: painter(false), width: 20 }), 'ID       TEXT\na        short\nlong id  xxxxxxxxxx\u2026\n');
    assert.match(table(['ID', 'TEXT'], rows, { paint: painter(true) }), /\u001b\[31mlong id\u001b\[0m  x{50}\n/);
  });

  it('oneLine() shows control characters as text', () => {
    assert.equal(oneLine('a\u001b]0;x\u0007\nb\tc\u009b\u202e'), 'a\\x1b]0;x\\x07\u23ceb c\\x9b\\u202e');
  });

  it('table() keeps to the window: the last column gives way first, the id at the end; a column is what a terminal takes', () => {
    const rows = [['0123456789abcdef', 'x'.repeat(30), 'y'.repeat(30)], ['0123456789abcdef', '\u6f22'.repeat(15), 'e\u0301'.repeat(30)]];
    for (const width of [120, 60, 40, 30, 20, 10, 5]) {
      const lines = table(['ID', 'NAME', 'WHAT'], rows, { paint: painter(false), width }).trimEnd().split('\n');
      assert.ok(lines.every((line) => columnsOf(line) <= Math.max(width, 7)), `${width}: ${lines.join('\n')}`);
    }
    assert.match(table(['ID', 'NAME', 'WHAT'], rows, { paint: painter(false), width: 40 }), /^0123456789abcdef {2}x{11}\u2026 {2}y{7}\u2026$/m);
    assert.equal(table(['ID', 'WHAT'], [['a', 'b'.repeat(20)]], { paint: painter(false), width: 12, isLastWhole: true }), 'ID  WHAT\na   bbbbbbbb\n    bbbbbbbb\n    bbbb\n');
  });

  it('escapeJson() keeps the value and contains nothing that a terminal acts on', () => {
    const value = { '\u202e': ['\u009b31m\u007f', '\u200e\u200f\u061c', '\u2066\u2069', '\u2028\u2029', '\ud800', '\u001b', 'e\u0301 \u{1f600}', '\n'] };
    for (const json of [JSON.stringify(value), JSON.stringify(value, null, 2)]) {
      assert.deepEqual(JSON.parse(escapeJson(json)), value);
      assert.doesNotMatch(escapeJson(json), /[^\n\P{C}]|[\u2028\u2029]/u);
    }
    assert.match(escapeJson(JSON.stringify(value)), /"\\u009b31m\\u007f"/);
  });

  it('escapeText() leaves line breaks and tabs alone', () => {
    assert.equal(escapeText('a\tb\r\nc\u001b[2J\u009b\u200f'), 'a\tb\nc\\x1b[2J\\x9b\\u200f');
  });

  it('exposeText() shows blanks and invisible characters', () => {
    assert.equal(exposeText(`ls${' '.repeat(3)}; rm -rf ~\t#\n `), 'ls\u2423\u2423\u2423; rm -rf ~\u21e5#\u23ce\u2423');
    assert.equal(exposeText('a\u200bb\u00a0c\u3000d\u{e0041}\u2800'), 'a\\u{200b}b\\u{a0}c\\u{3000}d\\u{e0041}\\u{2800}');
  });

  it('fields() wraps a text below itself and loses none of it', () => {
    assert.deepEqual(fields([['command', 'x'.repeat(25)], ['path', 'p']], { indent: '  ', width: 21 }), [
      '  command  xxxxxxxxxx', '           xxxxxxxxxx', '           xxxxx', '  path     p',
    ]);
  });

  it('times and sizes are short', () => {
    assert.deepEqual([85, 2400, 192_000, 7_500_000].map(duration), ['85ms', '2.4s', '3m12s', '2h05m']);
    assert.deepEqual([3, 300, 10_000, 200_000].map((seconds) => ago(1_000_000 - seconds, 1_000_000)), ['3s ago', '5m ago', '2h ago', '2d ago']);
    assert.deepEqual([0, 1023, 1536, 2 ** 40].map(size), ['0 B', '1023 B', '1.5 KiB', '1.0 TiB']);
  });
});

describe('values', () => {
  it('parses times, sizes, pairs and signals', () => {
    assert.deepEqual(['90', '1.5', '250ms', '5m', '2h', '1d'].map((value) => seconds(value, 'x')), [90, 1.5, 0.25, 300, 7200, 86_400]);
    assert.deepEqual(['4096', '64k', '10M', '1GiB', '0'].map((value) => bytes(value, 'x')), [4096, 65_536, 10 * 2 ** 20, 2 ** 30, 0]);
    assert.deepEqual(pairs(['A=b=c', 'B='], 'x'), { A: 'b=c', B: '' });
    assert.deepEqual(['INT', 'sigint', '2', 'SIGKILL'].map((value) => signalName(value, 'x')), ['SIGINT', 'SIGINT', 'SIGINT', 'SIGKILL']);
  });

  it('refuses invalid values, without repeating a secret', () => {
    for (const value of ['', '-1', '1 h', '1e3', 'x']) assert.throws(() => seconds(value, 'x'), /expected a time/);
    for (const value of ['', '1.5k', 'k', '-1']) assert.throws(() => bytes(value, 'x'), /expected bytes/);
    for (const value of ['', 'BANG', '99', '0']) assert.throws(() => signalName(value, 'x'), /expected a signal/);
    assert.throws(() => pairs(['=secret'], 'env'), (error) => !String(error).includes('secret'));
  });
});
