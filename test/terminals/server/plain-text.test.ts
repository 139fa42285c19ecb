import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainText } from '../../../src/terminals/server/plain-text.ts';

const cases: readonly (readonly [name: string, output: string, text: string])[] = [
  ['colours go', '\x1b[1;31mred\x1b[0m \x1b[38;5;12mblue\x1b[m\r\n', 'red blue\n'],
  ['a progress line stands as it did last', '10%\r55%\r100%\r\ndone', '100%\ndone'],
  ['what was longer before shows behind it', 'abcdef\rxy', 'xycdef'],
  ['erased is erased', 'abcdef\rxy\x1b[K', 'xy'],
  ['backspace goes back', 'abc\b\bX', 'aXc'],
  ['titles go', '\x1b]0;title\x07$ \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\', '$ link'],
  ['character sets and modes go', '\x1b(B\x1b[?2004h$ \x1b=\x1b[?1h', '$'],
  ['the cursor moves within the line', 'a\x1b[4Cb\x1b[2Dc\x1b[1Gd', 'd   cb'],
  ['tabs stand at every eighth column', 'a\tb', 'a       b'],
  ['half a sequence at the end goes', 'x\x1b[3', 'x'],
  ['characters beyond the first plane are one', '😀😀\r\x1b[1Cx', '😀x'],
  ['a bell is heard by nobody', 'a\x07b\0c', 'abc'],
];

for (const [name, output, text] of cases) {
  test(`plainText(): ${name}`, () => assert.equal(plainText(output), text));
}

test('plainText() of anything ends soon', (t) => {
  for (const piece of ['\x1b[', '\x1b]', '\x1b[999999999C', 'y\r\x1b[999999999@x', '\tx', 'x\r\x1b[P', '\x1b[4095Cx\n', '\x1b]x\x1b']) {
    const startedAt = performance.now();
    const text = plainText(piece.repeat(262_144 / piece.length));
    t.diagnostic(`${JSON.stringify(piece)}: ${Math.round(performance.now() - startedAt)} ms, ${text.length} characters`);
    assert.ok(text.length < 2e6);
  }
});
