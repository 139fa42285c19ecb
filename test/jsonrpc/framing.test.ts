import assert from 'node:assert/strict';
import test from 'node:test';
import { contentLength } from '../../src/jsonrpc/content-length.ts';
import { type FrameDecoder, type Framing, FramingError } from '../../src/jsonrpc/framing.ts';
import { ndjson } from '../../src/jsonrpc/ndjson.ts';

const messages = ['{}', '{"text":"κόσμε 𐀀 \\n"}', JSON.stringify({ text: 'x'.repeat(3000) }), '[1]', '"\\u2028"'];
const maxBytes = 10_000;

/** In pieces of so many bytes. */
function* cut(bytes: Buffer, sizeBytes: number): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += sizeBytes) yield bytes.subarray(start, start + sizeBytes);
}

function decoded(decoder: FrameDecoder, chunks: Iterable<Buffer>): string[] {
  return [...chunks].flatMap((chunk) => [...decoder.push(chunk)]);
}

for (const [name, framing] of Object.entries({ ndjson, contentLength } satisfies { [name: string]: Framing })) {
  test(`${name}: what was encoded is decoded, cut anywhere`, () => {
    const bytes = Buffer.concat(messages.map((message) => framing.encode(message)));
    for (const sizeBytes of [1, 2, 3, 7, 64, 1000, bytes.length]) {
      const decoder = framing.decoder(maxBytes);
      assert.deepEqual(decoded(decoder, cut(bytes, sizeBytes)), messages, `pieces of ${sizeBytes}`);
      assert.equal(decoder.isMidMessage, false);
    }
  });

  test(`${name}: a message as long as allowed comes, a longer one ends it before it is kept, behind those that were whole`, () => {
    const decoder = framing.decoder(maxBytes);
    const longest = 'x'.repeat(maxBytes);
    assert.deepEqual(decoded(decoder, [framing.encode(longest)]), [longest]);
    const received: string[] = [];
    assert.throws(() => {
      for (const message of decoder.push(Buffer.concat([framing.encode('{}'), framing.encode(`${longest}x`)]))) received.push(message);
    }, FramingError);
    assert.deepEqual(received, ['{}']);
    const endless = framing.decoder(maxBytes);
    assert.throws(() => { for (let count = 0; count < 1000; count += 1) decoded(endless, [Buffer.alloc(1000, 'x')]); }, FramingError);
  });

  test(`${name}: it knows whether it is within a message`, () => {
    const bytes = framing.encode('{"a":1}');
    for (let length = 1; length < bytes.length; length += 1) {
      const decoder = framing.decoder(maxBytes);
      assert.deepEqual(decoded(decoder, [bytes.subarray(0, length)]), []);
      assert.equal(decoder.isMidMessage, true, `after ${length} bytes`);
    }
  });
}

test('ndjson: lines may end with CR LF, and empty lines are skipped', () => {
  assert.deepEqual(decoded(ndjson.decoder(maxBytes), [Buffer.from('\r\n{}\r\n\n  \n[]\n{"half')]), ['{}', '[]']);
});

test('contentLength: other header fields are skipped, and names are case-insensitive', () => {
  const head = 'content-type: application/vscode-jsonrpc; charset=utf-8\r\nCONTENT-LENGTH:\t 2 \r\n\r\n';
  assert.deepEqual(decoded(contentLength.decoder(maxBytes), [Buffer.from(`${head}{}${head}[]`)]), ['{}', '[]']);
});

test('contentLength: the length counts bytes', () => {
  assert.ok(contentLength.encode('"ä"').toString().startsWith('Content-Length: 4\r\n\r\n'));
});

for (const head of ['Content-Type: x', 'Content-Length: -1', 'Content-Length: 0x2', 'Content-Length: 2\r\nContent-Length: 2', 'Content-Length: ', 'Debugger attached.', 'Content-Length: 99999999999999999999']) {
  test(`contentLength: ${JSON.stringify(head)} is no head`, () => {
    assert.throws(() => decoded(contentLength.decoder(maxBytes), [Buffer.from(`${head}\r\n\r\n{}`)]), FramingError);
  });
}

test('contentLength: an empty message counts as a message', () => {
  assert.deepEqual(decoded(contentLength.decoder(maxBytes), [Buffer.from('Content-Length: 0\r\n\r\nContent-Length: 2\r\n\r\n{}')]), ['', '{}']);
});
