import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientCodec } from '../../../src/terminals/server/client-codec.ts';

test('ClientCodec.output() never cuts a character, and shows what is none as U+FFFD', () => {
  const text = 'a€😀é\ufeffz';
  const bytes = Buffer.from(text);
  for (let at = 0; at <= bytes.length; at += 1) {
    const dialogue = new ClientCodec({ isBinary: false });
    const frames = [bytes.subarray(0, at), bytes.subarray(at)].map((part) => dialogue.output(part) ?? '');
    assert.equal(frames.join(''), text);
    assert.ok(!frames.join('|').includes('\ufffd'));
    assert.equal(dialogue.rest(), undefined);
  }
  const broken = new ClientCodec({ isBinary: false });
  assert.equal(broken.output(Buffer.from([0x61, 0xff, 0xe2, 0x82])), 'a\ufffd');
  assert.equal(broken.rest(), '\ufffd');
});

test('ClientCodec.output() never begins with NUL: that is how the server speaks', () => {
  const dialogue = new ClientCodec({ isBinary: false });
  assert.equal(dialogue.output(Buffer.from('\0\0{"type":"exit"}')), '{"type":"exit"}');
  assert.equal(dialogue.output(Buffer.from('\0')), undefined);
  assert.equal(dialogue.output(Buffer.from('a\0b')), 'a\0b');
  assert.deepEqual(new ClientCodec({ isBinary: true }).output(Buffer.from('\0x')), Buffer.from('\0x'));
  assert.equal(dialogue.control({ type: 'pong' }), '\0{"type":"pong"}');
});

test('ClientCodec.read() understands input, resize and ping, passes over what front ends add, and names what is wrong', () => {
  const dialogue = new ClientCodec({ isBinary: false });
  assert.deepEqual(dialogue.read('{"type":"input","data":"\\u0003"}'), { type: 'input', data: '\x03' });
  assert.deepEqual(dialogue.read('{"type":"resize","cols":80,"rows":24,"width":640}'), { type: 'resize', cols: 80, rows: 24 });
  assert.deepEqual(dialogue.read('{"type":"ping","at":5}'), { type: 'ping' });
  const wrong: readonly [string | Buffer, RegExp][] = [
    ['', /JSON/], ['nonsense', /JSON/], ['5', /object/], ['{"type":"x"}', /message\.type/], ['{"type":"input","data":1}', /message\.data/],
    ['{"type":"resize","cols":0,"rows":1}', /message\.cols/], [Buffer.from('x'), /bytes/],
  ];
  for (const [message, why] of wrong) {
    const answer = dialogue.read(message);
    assert.equal(answer.type, 'error');
    assert.match('message' in answer ? answer.message : '', why);
  }
  assert.deepEqual(new ClientCodec({ isBinary: true }).read(Buffer.from([0xff])), { type: 'bytes', bytes: Buffer.from([0xff]) });
});
