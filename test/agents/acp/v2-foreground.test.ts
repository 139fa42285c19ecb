/** When work on a prompt has ended, in version 2 of the protocol. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Foreground } from '../../../src/agents/acp/v2-foreground.ts';

/** What happens, in order: `sent`, `taken` (the prompt is answered), `echo`, `said`, a state, or `idle` with a stop reason. */
const cases: { readonly [what: string]: readonly [happens: readonly string[], end: string | undefined | null] } = {
  'answered, then worked on': [['sent', 'taken', 'running', 'idle end_turn'], 'end_turn'],
  'worked on before it is answered': [['sent', 'running', 'echo', 'taken', 'idle refusal'], 'refusal'],
  'ended before it is answered': [['sent', 'running', 'echo', 'idle end_turn', 'taken'], 'end_turn'],
  'ended before it is answered, and never told again': [['sent', 'running', 'idle end_turn', 'taken'], 'end_turn'],
  'a state that is told again ends nothing': [['sent', 'idle old', 'taken', 'idle old', 'running', 'idle new'], 'new'],
  'one told again behind the end, too': [['running', 'idle old', 'idle old', 'sent', 'taken', 'running', 'idle new'], 'new'],
  'work from before does not count': [['running', 'sent', 'idle old', 'taken', 'running', 'idle new'], 'new'],
  'a prompt that has become a part of running work': [['running', 'sent', 'echo', 'idle end_turn', 'taken'], 'end_turn'],
  'an interaction is a part of it': [['sent', 'taken', 'running', 'requires_action', 'running', 'idle cancelled'], 'cancelled'],
  'a state of another version is not idle': [['sent', 'taken', '_dreaming', 'idle end_turn'], 'end_turn'],
  'an agent that says only that it has ended': [['sent', 'taken', 'said', 'idle end_turn'], 'end_turn'],
  'no reason': [['sent', 'taken', 'running', 'idle'], undefined],
  'not yet': [['sent', 'taken', 'running'], null],
  'not yet, as nothing was begun': [['sent', 'taken', 'idle old'], null],
};

for (const [what, [happens, expected]] of Object.entries(cases)) {
  test(what, async () => {
    const foreground = new Foreground();
    let take: (id: string) => void = () => undefined;
    let end: string | undefined | null = null;
    for (const one of happens) {
      const [word = '', stopReason] = one.split(' ');
      if (word === 'sent') {
        const inserted = new Promise<string>((resolve) => { take = resolve; });
        void foreground.endOf(inserted).then((ended) => { end = ended.stopReason; });
      } else if (word === 'taken') take('u1');
      else if (word === 'echo') foreground.apply({ sessionUpdate: 'user_message', messageId: 'u1' });
      else if (word === 'said') foreground.apply({ sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: 'x' } });
      else foreground.apply({ sessionUpdate: 'state_update', state: word, ...(stopReason === undefined ? {} : { stopReason }) });
      await sleep(0);
    }
    assert.equal(end, expected);
  });
}

test('a prompt that is refused fails', async () => {
  await assert.rejects(new Foreground().endOf(Promise.reject(new Error('no'))), /no/);
});
