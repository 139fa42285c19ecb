/**
 * An agent of the Agent Client Protocol that only answers one word to each prompt, at once, so that its client is
 * measured.
 * @module
 */
import { createInterface } from 'node:readline';

const say = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const content = { type: 'text', text: 'ok' };
const word = { sessionId: 's1', update: { sessionUpdate: 'agent_message_chunk', content } };
const answers = {
  initialize: { protocolVersion: 1, agentCapabilities: {} },
  'session/new': { sessionId: 's1' },
  'session/prompt': { stopReason: 'end_turn' },
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method } = JSON.parse(line);
  if (method === 'session/prompt') say({ method: 'session/update', params: word });
  if (id !== undefined) say({ id, result: answers[method] });
});
