import assert from 'node:assert/strict';
import { isUtf8 } from 'node:buffer';
import test from 'node:test';
import { Utf8Validator } from '../../src/websocket/utf8-validator.ts';

/** Whether it is taken, in parts of these lengths, the last one as often as it takes. */
function isText(bytes: Buffer, ...lengths: number[]): boolean {
  const check = new Utf8Validator();
  for (let at = 0, part = 0; at < bytes.length; part += 1) {
    const length = lengths[Math.min(part, lengths.length - 1)] ?? 1;
    if (!check.push(bytes.subarray(at, at + length))) return false;
    at += length;
  }
  return check.isWhole;
}

test('Utf8Validator says of all short sequences what Node says, whole and in parts', () => {
  const starts = [0x00, 0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xff];
  const nexts = [0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xf0, 0xff];
  for (const first of starts) for (const second of nexts) for (const third of nexts) for (const fourth of nexts) {
    const four = Buffer.from([first, second, third, fourth]);
    for (const bytes of [four, four.subarray(0, 3), four.subarray(0, 2), four.subarray(0, 1)]) {
      const expected = isUtf8(bytes);
      const told = [isText(bytes, 4), isText(bytes, 1), isText(bytes, 2), isText(bytes, 3), isText(bytes, 1, 2)];
      assert.ok(told.every((one) => one === expected), `${bytes.toString('hex')}: ${told} but ${expected}`);
    }
  }
});

test('Utf8Validator fails at the first byte that cannot be right', () => {
  for (const [right, wrong] of [
    ['', '80'], ['', 'c0'], ['', 'f5'], ['c2', '41'], ['e0', '9f'], ['ed', 'a0'], ['f0', '8f'], ['f4', '90'], ['e1bd', 'c2'], ['f48fbf', '00'],
  ] as const) {
    const check = new Utf8Validator();
    assert.equal(check.push(Buffer.from(`41${right}`, 'hex')), true, right);
    assert.equal(check.push(Buffer.from(wrong, 'hex')), false, `${right} ${wrong}`);
    assert.equal(new Utf8Validator().push(Buffer.from(`41${right}${wrong}`, 'hex')), false, `${right}${wrong} at once`);
  }
});
