/** The answers of a Model Context Protocol server with one tool. */
const answers = {
  initialize: ({ protocolVersion }) => (
    { protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'interop', version: '1.0.0' } }
  ),
  ping: () => ({}),
  'tools/list': () => ({
    tools: [{ name: 'interop_nothing', description: 'Does nothing', inputSchema: { type: 'object', properties: {} } }],
  }),
};

/** @returns the answer to a message; `undefined` for a notification. */
export function mcpAnswer({ id, method, params }) {
  if (id === undefined) return undefined;
  const answer = answers[method];
  return {
    jsonrpc: '2.0', id,
    ...(answer
      ? { result: answer(params ?? {}) }
      : { error: { code: -32601, message: `Method not found: ${method}` } }),
  };
}

/** Whether the message asks for the tools, the only request that the checks look at. */
export function isForTools({ method }) {
  return method === 'tools/list';
}
