/** The file of an agent's events. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { EventLog } from '../../../src/agents/runner/event-log.ts';
import { eventOf } from '../../../src/agents/server/event-tail.ts';
import { eventBounds } from '../../../src/agents/runner-config.ts';
import { mountless, smallDisk } from '../../support/disk.ts';
import { atEnd, temporaryFolder } from '../../support/server.ts';

const fault = (what: string): { readonly type: 'fault'; readonly what: string } => ({ type: 'fault', what });

function logIn(t: TestContext, folder: string): { readonly log: EventLog; readonly lines: () => readonly unknown[] } {
  const path = join(folder, 'events.ndjson');
  const log = new EventLog(path, () => 5);
  atEnd(t, () => log.close());
  return { log, lines: () => readFileSync(path, 'utf8').split('\n').flatMap(eventOf) };
}

test('each event is a line with a number and a time', (t) => {
  const { log, lines } = logIn(t, temporaryFolder(t));
  for (const what of ['a\nb', 'ä']) log.append(fault(what));
  assert.deepEqual(lines(), [{ seq: 1, at: 5, type: 'fault', what: 'a\nb' }, { seq: 2, at: 5, type: 'fault', what: 'ä' }]);
});

test('an event that is too long, or too deep, is stored without its content', (t) => {
  const { log, lines } = logIn(t, temporaryFolder(t));
  const long = 'x'.repeat(2_000_000);
  // It was lost.
  const deep: unknown = JSON.parse(`${'['.repeat(200_000)}${']'.repeat(200_000)}`);
  const updates = [{ sessionUpdate: 'plan', toolCallId: 't', long }, { sessionUpdate: 'plan', deep }, { sessionUpdate: long, toolCallId: long }, long];
  for (const update of updates) log.append({ type: 'update', update, isReplay: false });
  assert.deepEqual(lines().map((line) => JSON.stringify((line as { update: unknown }).update)),
    ['{"sessionUpdate":"plan","toolCallId":"t"}', '{"sessionUpdate":"plan"}', JSON.stringify({ sessionUpdate: 'x'.repeat(200), toolCallId: 'x'.repeat(200) }), '{}']);
});

test('a line that a full disk has torn costs only itself', { skip: mountless }, (t) => {
  // The next event was glued to it, and lost, too.
  const folder = smallDisk(t, '64k');
  const { log, lines } = logIn(t, folder);
  const rest = join(folder, 'rest');
  writeFileSync(rest, 'x'.repeat(20_000));
  assert.throws(() => { for (;;) log.append(fault('y'.repeat(10_000))); }, { code: 'ENOSPC' });
  rmSync(rest);
  log.append(fault('after'));
  assert.deepEqual([lines().length > 1, (lines().at(-1) as { what: string }).what], [true, 'after']);
});

test('an event with too many values is stored without its content, and one that a job has written is not parsed', (t) => {
  const { log, lines } = logIn(t, temporaryFolder(t));
  const many = Array.from({ length: eventBounds.maxTokens }, () => 0);
  log.append({ type: 'update', update: { sessionUpdate: 'plan', many }, isReplay: false });
  assert.deepEqual((lines() as { update: unknown; isCut: unknown }[]).map(({ update, isCut }) => [update, isCut]), [[{ sessionUpdate: 'plan' }, true]]);
  const { mock } = t.mock.method(JSON, 'parse');
  for (const line of [JSON.stringify(many.concat(many)), '['.repeat(10_000)]) assert.deepEqual(eventOf(line), []);
  assert.equal(mock.callCount(), 0);
});
