/** A server of the Model Context Protocol with one tool: `mcp-server.mjs FILE` makes the file once an agent asks for its tools. */
import { writeFileSync } from 'node:fs';
import readline from 'node:readline';

const [, , file] = process.argv;

const answers = {
  initialize: ({ protocolVersion }) => ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'interop', version: '1.0.0' } }),
  ping: () => ({}),
  'tools/list': () => {
    writeFileSync(file, 'asked');
    return { tools: [{ name: 'interop_nothing', description: 'Does nothing', inputSchema: { type: 'object', properties: {} } }] };
  },
};

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const answer = answers[method];
  const outcome = answer ? { result: answer(params ?? {}) } : { error: { code: -32601, message: `Method not found: ${method}` } };
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id, ...outcome })}\n`);
});
