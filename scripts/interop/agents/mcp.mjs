/** What a server of the Model Context Protocol with one tool says. */
const answers = {
  initialize: ({ protocolVersion }) => ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'interop', version: '1.0.0' } }),
  ping: () => ({}),
  'tools/list': () => ({ tools: [{ name: 'interop_nothing', description: 'Does nothing', inputSchema: { type: 'object', properties: {} } }] }),
};

/** @returns the answer to a message; `undefined`: it wants none. */
export function mcpAnswer({ id, method, params }) {
  if (id === undefined) return undefined;
  const answer = answers[method];
  return { jsonrpc: '2.0', id, ...(answer ? { result: answer(params ?? {}) } : { error: { code: -32601, message: `Method not found: ${method}` } }) };
}

/** It has been asked for its tools, which is all that an agent has it for. */
export function isForTools({ method }) {
  return method === 'tools/list';
}
