/** What the runner of an agent writes of its turns. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { TurnLog, type TurnRecord } from '../../src/agents/turn-log.ts';

interface Setting {
  readonly log: TurnLog;
  readonly written: TurnRecord[];
  /** Says something, of which so many bytes find room. */
  readonly say: (text: string, writtenBytes?: number) => void;
  /** No line finds room. */
  isFull: boolean;
}

function setUp(): Setting {
  const written: TurnRecord[] = [];
  let textEnd = 0;
  const setting: Setting = {
    written, isFull: false,
    log: new TurnLog({ textEnd: () => textEnd, write: (turn) => {
      if (setting.isFull) throw new Error('ENOSPC');
      written.push(turn);
    } }),
    say: (text, writtenBytes = Buffer.byteLength(text)) => {
      textEnd += writtenBytes;
      setting.log.add(text);
    },
  };
  return setting;
}

test('a turn is written when it begins and when it ends, with the place of its text', () => {
  const { log, say, written } = setUp();
  say('before');
  for (const turn of [1, 2]) {
    log.begin(turn);
    say('ä');
    say('b');
    log.countDenial();
    log.end('end_turn', { totalTokens: turn });
  }
  log.countDenial();
  const shown = written.map(({ turn, text, textOffset, textBytes, denied, stopReason }) => ({ turn, text, textOffset, textBytes, denied, stopReason }));
  const begun = { text: '', textBytes: 0, denied: 0, stopReason: null };
  const ended = { text: 'äb', textBytes: 3, denied: 1, stopReason: 'end_turn' };
  assert.deepEqual(shown, [
    { turn: 1, textOffset: 6, ...begun }, { turn: 1, textOffset: 6, ...ended }, { turn: 2, textOffset: 9, ...begun }, { turn: 2, textOffset: 9, ...ended },
  ]);
  assert.deepEqual(written.map(({ usage }) => usage?.totalTokens), [undefined, 1, undefined, 2]);
});

test('text after the end of a turn belongs to it until the next one begins', () => {
  const { log, say, written } = setUp();
  log.begin(1);
  say('a');
  log.end('end_turn', null);
  log.settle();
  assert.equal(written.length, 2, 'there was nothing more');
  say('b');
  log.settle();
  log.settle();
  say('c');
  log.begin(2);
  assert.deepEqual(written.slice(2).map(({ turn, text }) => [turn, text]), [[1, 'ab'], [1, 'abc'], [2, '']]);
});

test('a line that could not be written is written later, in order', () => {
  const setting = setUp();
  const { log, say, written } = setting;
  log.begin(1);
  setting.isFull = true;
  log.end('end_turn', null);
  log.begin(2);
  setting.isFull = false;
  say('x');
  log.settle();
  log.end('refusal', null);
  assert.deepEqual(written.map(({ turn, stopReason }) => [turn, stopReason]), [[1, null], [1, 'end_turn'], [2, null], [2, 'refusal']]);
});

test('a text that was not written whole is not read from stdout', () => {
  const { log, say, written } = setUp();
  log.begin(1);
  say('abc', 2);
  log.end('end_turn', null);
  log.begin(2);
  say('d');
  log.end('end_turn', null);
  assert.deepEqual(written.map(({ text, textOffset }) => [text, textOffset]), [['', 0], ['abc', null], ['', 2], ['d', 2]]);
});

test('only the beginning of a long text is kept, with whole characters', () => {
  for (const [pieces, text, isTextCut] of [
    [['x'.repeat(4096)], 'x'.repeat(4096), false], [['x'.repeat(4096), 'y'], 'x'.repeat(4096), true], [['x'.repeat(5000)], 'x'.repeat(4096), true],
    [['x'.repeat(4095), '😀'], 'x'.repeat(4095), true], [['\ud83d', '\ude00'], '\ufffd\ufffd', false], [['x'.repeat(4000), ''], 'x'.repeat(4000), false],
  ] as const) {
    const { log, say, written } = setUp();
    log.begin(1);
    for (const piece of pieces) say(piece);
    log.end('end_turn', null);
    assert.equal(written[1]?.text, text);
    assert.equal(written[1]?.isTextCut, isTextCut, `${pieces.map(({ length }) => length).join(' + ')} characters`);
    assert.equal(written[1]?.textBytes, pieces.reduce((sum, piece) => sum + Buffer.byteLength(piece), 0));
  }
});
