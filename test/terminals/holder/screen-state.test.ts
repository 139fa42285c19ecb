/** What a program has set in a terminal, learned from its output. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import test from 'node:test';
import { RingBuffer } from '../../../src/base/ring-buffer.ts';
import { Replay } from '../../../src/terminals/holder/replay.ts';
import { ScreenState } from '../../../src/terminals/holder/screen-state.ts';

/** What sets a fresh terminal as one that was shown this. */
function joined(...pieces: string[]): string {
  const state = new ScreenState();
  for (const piece of pieces) state.feed(Buffer.from(piece, 'latin1'));
  return state.join({ isFresh: true });
}

test('what a program set is set again, what it took back is not', () => {
  const cases: readonly (readonly [shown: string, joined: string])[] = [
    ['plain text\r\n', ''],
    ['\x1b[?1049h\x1b[?1000;1002;1003;1004;1006h\x1b[?2004h\x1b[?25l', '\x1b[?1049h\x1b[?25l\x1b[?1000h\x1b[?1002h\x1b[?1003h\x1b[?1004h\x1b[?1006h\x1b[?2004h'],
    ['\x1b[?1049h\x1b[?1000h\x1b[?25l\x1b[?1000l\x1b[?25h\x1b[?1049l', ''],
    ['\x1b[?47h', '\x1b[?47h'], ['\x1b[?1047h', '\x1b[?1047h'], ['\x1b[?9h\x1b[?1005h\x1b[?1015h', '\x1b[?9h\x1b[?1005h\x1b[?1015h'],
    ['\x1b[5 q', '\x1b[5 q'], ['\x1b[5 q\x1b[0 q', ''],
    ['\x1b=\x1b[?1h', '\x1b[?1h\x1b='], ['\x1b=\x1b>', ''],
    ['\x1b[?7l\x1b[?6h\x1b[4h', '\x1b[?6h\x1b[?7l\x1b[4h'],
    ['\x1b[2;20r', '\x1b7\x1b[2;20r\x1b8'], ['\x1b[2;20r\x1b[r', ''],
    ['\x1b(0\x1b)0\x0e', '\x1b(0\x1b)0\x0e'], ['\x1b(0\x1b(B', ''],
    ['\x1b[1m\x1b[31;4m', '\x1b[0;1;31;4m'], ['\x1b[1;38;5;208;48;2;1;2;3m\x1b[22m', '\x1b[0;38;5;208;48;2;1;2;3m'], ['\x1b[1;31m\x1b[m', ''],
    ['\x1b[4:3;58:2::1:2:3m', '\x1b[0;4:3;58:2::1:2:3m'], ['\x1b[4:3m\x1b[4:0m', ''],
    ['\x1b]0;both\x07', '\x1b]0;both\x07'], ['\x1b]2;win\x1b\\\x1b]1;icon\x07', '\x1b]1;icon\x07\x1b]2;win\x07'],
    ['\x1b]2;one\x07\x1b[22;0t\x1b]2;two\x07', '\x1b]2;one\x07\x1b[22;0t\x1b]2;two\x07'], ['\x1b]2;one\x07\x1b[22t\x1b]2;two\x07\x1b[23t', '\x1b]2;one\x07'],
    ['\x1b]4;1;rgb:ff/00/00;2;#00ff00\x07\x1b]11;#123456\x07\x1b]10;?\x07', '\x1b]4;1;rgb:ff/00/00\x07\x1b]4;2;#00ff00\x07\x1b]11;#123456\x07'],
    ['\x1b]4;1;red\x07\x1b]12;blue\x07\x1b]104\x07\x1b]112\x07', ''],
    ['\x1b[>1u\x1b[>5u\x1b[<u\x1b[>4;2m', '\x1b[>1u\x1b[>4;2m'], ['\x1b[=5;1u\x1b[=2;2u', '\x1b[>7u'],
    ['\x1b[>1u\x1b[?1049h\x1b[>3u', '\x1b[>1u\x1b[?1049h\x1b[>3u'],
    ['\x1b]8;;http://x/\x07', '\x1b]8;;http://x/\x07'], ['\x1b]8;;http://x/\x07text\x1b]8;;\x07', ''],
    ['\x1b[?2026h', ''],
    ['\x1b[?1049h\x1b[?1000h\x1b[4h\x1b=\x1b[1m\x1b[2;3r\x1b(0\x1b[!p', '\x1b[?1049h\x1b[?1000h'],
    ['\x1b[?1049h\x1b[?1000h\x1b[1m\x1b[5 q\x1b[>1u\x1bc', ''],
    // As one character in UTF-8; within a string; cancelled; interrupted by another; with controls inside; unknown.
    ['\xc2\x9b?25l', '\x1b[?25l'], ['\xc3\x9b?25l', ''], ['\x1b]0;\x1b[?25l', '\x1b[?25l'], ['\x1bP\x1b[?25h\x1b\\', ''], ['\x1bPq#0;2;0?25l\x1b\\', ''],
    ['\x1b[?25\x18l', ''], ['\x1b[?2\x1b[?25l', '\x1b[?25l'], ['\x1b[?2\r5l', '\x1b[?25l'], ['\x1b[?25é', ''], ['\x1b[<=25h\x1b[999y\x1b%G\x1b#8', ''],
  ];
  for (const [shown, wanted] of cases) {
    assert.equal(joined(shown), wanted, JSON.stringify(shown));
    assert.equal(joined(...shown), wanted, `${JSON.stringify(shown)} byte by byte`);
  }
});

test('what never ends, or comes without end, stays small', () => {
  const state = new ScreenState();
  const filler = Buffer.alloc(100_000, 0x61);
  for (const begin of ['\x1b]0;', '\x1b[', '\x1bP', '\x1b[?']) {
    state.feed(Buffer.from(begin));
    for (let round = 0; round < 20; round += 1) state.feed(begin.endsWith('[') || begin.endsWith('?') ? Buffer.alloc(100_000, 0x31) : filler);
    state.feed(Buffer.from('\x07\x18'));
  }
  for (let index = 0; index < 5000; index += 1) {
    state.feed(Buffer.from(`\x1b]2;${'t'.repeat(1500)}\x07\x1b[22t\x1b[>1u\x1b]4;${index};red\x07\x1b[?${index}h\x1b[${'1;'.repeat(100)}m\x1b]8;;${'u'.repeat(1900)}\x07`));
  }
  assert.ok(state.join({ isFresh: false }).length < 64 * 1024);
  assert.ok(state.undo().length < 8 * 1024);
});

test('a replay begins at a line, between sequences and characters, in the state that is right there', () => {
  const begin = (size: number, ...pieces: string[]): string => {
    const ring = new RingBuffer(size);
    const replay = new Replay(ring);
    for (const piece of pieces) replay.append(Buffer.from(piece));
    const { offset, state } = replay.joinPoint({ isFresh: true });
    return `${state.toString('latin1')}|${ring.read(offset, size).toString()}`;
  };
  assert.equal(begin(16, 'abc\ndef'), '|abc\ndef');
  assert.equal(begin(16, '0123456789', 'abc\ndefghijkl'), '|defghijkl');
  assert.equal(begin(16, '€€€€€€€€'), '|€€€€€');
  assert.equal(begin(16, '0123456789', 'abcdefghijklm'), '|789abcdefghijklm');
  assert.equal(begin(14, '\x1b[?25l0123456\x1b[1;31mab€cdef'), '\x1b[?25l\x1b[0;1;31m|ab€cdef');
  // A newline within a string begins no line.
  assert.equal(begin(16, '0123\x1b]2;a\nb\x07after this'), '\x1b]2;ab\x07|after this');
  assert.equal(begin(24, '\x1b[1m', 'x'.repeat(20), '\nplain\x1b[m\n'), '\x1b[0;1m|plain\x1b[m\n');
});

test('random output in random pieces: state and replay make the state that all of it makes', () => {
  const parts = ['\x1b[?1049h', '\x1b[?1049l', '\x1b[31m', '\x1b[0m', '\x1b(0', '\x1b(B', '\x1b]2;title\x07', '\x1b[?25l', '\x1b[?25h', '\x1b[3;9r', '\x1b[r', 'text', '€', '\n', '\x1b[4 q', '\x0e', '\x0f', '\x1b[>1u', '\x1b[<u', '\x1b[!p', '\x1b='];
  for (let round = 0; round < 300; round += 1) {
    const all = Buffer.from(Array.from({ length: 60 }, () => parts[randomInt(parts.length)]).join(''));
    const ring = new RingBuffer(100);
    const replay = new Replay(ring);
    for (let at = 0; at < all.length;) {
      const length = randomInt(1, 40);
      replay.append(all.subarray(at, at + length));
      at += length;
    }
    const whole = new ScreenState();
    whole.feed(all);
    const { offset, state } = replay.joinPoint({ isFresh: true });
    const late = new ScreenState();
    late.feed(state);
    late.feed(all.subarray(offset));
    assert.equal(late.join({ isFresh: true }).split('').sort().join(''), whole.join({ isFresh: true }).split('').sort().join(''), JSON.stringify(all.toString()));
  }
});
