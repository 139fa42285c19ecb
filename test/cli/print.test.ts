import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ago, duration, oneLine, painter, size, table } from '../../src/cli/print.ts';
import { bytes, pairs, seconds, signalName } from '../../src/cli/values.ts';

describe('print', () => {
  it('table() aligns its columns and cuts the last one at the width', () => {
    const rows = [['a', 'short'], [{ text: 'long id', colour: 'red' as const }, 'x'.repeat(50)]];
    assert.equal(table(['ID', 'TEXT'], rows, { paint: painter(false), width: 20 }), 'ID       TEXT\na        short\nlong id  xxxxxxxxxx\u2026\n');
    assert.match(table(['ID', 'TEXT'], rows, { paint: painter(true) }), /\u001b\[31mlong id\u001b\[0m  x{50}\n/);
  });

  it('oneLine() shows what would speak to the terminal', () => {
    assert.equal(oneLine('a\u001b]0;x\u0007\nb\tc\u009b\u202e'), 'a\\x1b]0;x\\x07\u23ceb c\\x9b\\x202e');
  });

  it('times and sizes are short', () => {
    assert.deepEqual([85, 2400, 192_000, 7_500_000].map(duration), ['85ms', '2.4s', '3m12s', '2h05m']);
    assert.deepEqual([3, 300, 10_000, 200_000].map((seconds) => ago(1_000_000 - seconds, 1_000_000)), ['3s ago', '5m ago', '2h ago', '2d ago']);
    assert.deepEqual([0, 1023, 1536, 2 ** 40].map(size), ['0 B', '1023 B', '1.5 KiB', '1.0 TiB']);
  });
});

describe('values', () => {
  it('reads what people write', () => {
    assert.deepEqual(['90', '1.5', '250ms', '5m', '2h', '1d'].map((value) => seconds(value, 'x')), [90, 1.5, 0.25, 300, 7200, 86_400]);
    assert.deepEqual(['4096', '64k', '10M', '1GiB', '0'].map((value) => bytes(value, 'x')), [4096, 65_536, 10 * 2 ** 20, 2 ** 30, 0]);
    assert.deepEqual(pairs(['A=b=c', 'B='], 'x'), { A: 'b=c', B: '' });
    assert.deepEqual(['INT', 'sigint', '2', 'SIGKILL'].map((value) => signalName(value, 'x')), ['SIGINT', 'SIGINT', 'SIGINT', 'SIGKILL']);
  });

  it('refuses what is none, without repeating a secret', () => {
    for (const value of ['', '-1', '1 h', '1e3', 'x']) assert.throws(() => seconds(value, 'x'), /expected a time/);
    for (const value of ['', '1.5k', 'k', '-1']) assert.throws(() => bytes(value, 'x'), /expected bytes/);
    for (const value of ['', 'BANG', '99', '0']) assert.throws(() => signalName(value, 'x'), /expected a signal/);
    assert.throws(() => pairs(['=secret'], 'env'), (error) => !String(error).includes('secret'));
  });
});
