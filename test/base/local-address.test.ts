/** A server that listens everywhere is asked at an address that exists. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { localAddress } from '../../src/base/local-address.ts';

test('localAddress() replaces what stands for every address, and nothing else', () => {
  for (const [url, expected] of [
    ['http://0.0.0.0:8585', 'http://127.0.0.1:8585'],
    ['https://[::]:8585/health', 'https://[::1]:8585/health'],
    ['http://0.0.0.0/', 'http://127.0.0.1/'],
    ['http://192.0.2.1:8585', 'http://192.0.2.1:8585'],
    ['http://[::1]:1', 'http://[::1]:1'],
    ['nonsense', 'nonsense'],
  ]) assert.equal(localAddress(url ?? ''), expected);
});
