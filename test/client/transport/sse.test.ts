import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EventParser, type ReceivedEvent } from '../../../src/client/transport/sse.ts';

function parse(text: string, pieceBytes: number): ReceivedEvent[] {
  const bytes = new TextEncoder().encode(text);
  const parser = new EventParser();
  const events: ReceivedEvent[] = [];
  for (let index = 0; index < bytes.length; index += pieceBytes) events.push(...parser.push(bytes.subarray(index, index + pieceBytes)));
  return events;
}

describe('EventParser', () => {
  it('reads events whatever the cuts between the pieces and the ends of lines', () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const text = ['\ufeff: comment', 'id: 1', 'event: a', 'data: x\u{1f600}', 'data:y', '', 'data', '', ':', 'id: 2', 'retry: 5', '', 'data: \ufeffz', '', 'data: torn', '']
        .join(end);
      for (const pieceBytes of [1, 2, 3, 7, 1000]) {
        assert.deepEqual(parse(text, pieceBytes), [
          { event: 'a', id: '1', data: 'x\u{1f600}\ny' },
          { event: 'message', id: '1', data: '' },
          { event: 'message', id: '2', data: '\ufeffz' },
        ], `${JSON.stringify(end)} ${pieceBytes}`);
      }
    }
  });

  it('takes time linear in the length of a line', () => {
    const started = performance.now();
    const [event] = parse(`data: ${'x'.repeat(16 * 2 ** 20)}\n\n`, 4096);
    assert.equal(event?.data.length, 16 * 2 ** 20);
    assert.ok(performance.now() - started < 5000);
  });

  it('refuses a line without an end', () => {
    const parser = new EventParser();
    const piece = new Uint8Array(2 ** 20).fill(0x78);
    assert.throws(() => {
      for (let index = 0; index < 100; index += 1) parser.push(piece);
    }, RangeError);
  });
});
