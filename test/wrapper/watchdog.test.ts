/**
 * When a server counts as one whose event loop stands still.
 * @module
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HealthResult } from '../../src/wrapper/health-check.ts';
import { watchEventLoop } from '../../src/wrapper/watchdog.ts';

const silence: HealthResult = { type: 'unhealthy', why: 'no answer within 1 s', isSilent: true };
const well: HealthResult = { type: 'healthy' };
const refusal: HealthResult = { type: 'unhealthy', why: 'it answered with status 500' };
const busy: HealthResult = { type: 'unknown', why: 'it answered with status 503' };

/** Gives these findings one after the other, then ends the watch. */
async function watch(findings: readonly HealthResult[], during: () => void = () => undefined): Promise<{ reason: string | undefined; asked: number }> {
  const over = new AbortController();
  let asked = 0;
  const checkHealth = async (): Promise<HealthResult> => {
    const finding = findings[asked];
    asked += 1;
    if (finding === undefined) over.abort();
    during();
    return finding ?? well;
  };
  const reason = await watchEventLoop({ checkHealth, everyMs: 1, signal: over.signal });
  return { reason, asked };
}

test('three questions in a row without an answer are a fault', async () => {
  const { reason, asked } = await watch([well, silence, silence, silence, well]);
  assert.equal(reason, 'no answer within 1 s, 3 times in a row: its event loop stands still');
  assert.equal(asked, 4);
});

test('an answer of any kind in between says that the loop turns', async () => {
  for (const answer of [well, refusal, busy] as readonly HealthResult[]) {
    const findings: readonly HealthResult[] = [silence, silence, answer, silence, silence, answer];
    assert.deepEqual(await watch(findings), { reason: undefined, asked: findings.length + 1 });
  }
  assert.equal((await watch([refusal, refusal, refusal, refusal])).reason, undefined);
});

test('what was asked while the wrapper itself did not run says nothing', async () => {
  // As when the machine was suspended, or the wrapper had no processor.
  const pause = (): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_100);
  assert.equal((await watch([silence, silence, silence, silence], pause)).reason, undefined);
});
