/** A bare `node:http` server that sends the same bytes for every request. @module */
import { createServer } from 'node:http';
import { readTask } from '../programs/raw-http.mjs';

const { bodyBytes, status } = readTask();
const body = Buffer.from(JSON.stringify({ hello: 'x'.repeat(Math.max(0, bodyBytes - 12)) }));

const server = createServer((request, response) => {
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': body.length });
  response.end(body);
});
server.listen(0, '127.0.0.1', () =>
  process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`),
);
// The end of stdin means that the bench has ended.
process.stdin.on('end', () => process.exit(0)).resume();
