/** A Model Context Protocol server on stdio: `mcp-server.mjs FILE` makes the file once an agent lists its tools. */
import { writeFileSync } from 'node:fs';
import readline from 'node:readline';
import { isForTools, mcpAnswer } from './mcp.mjs';

const [, , file] = process.argv;

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const message = JSON.parse(line);
  if (isForTools(message)) writeFileSync(file, 'asked');
  const answer = mcpAnswer(message);
  if (answer) process.stdout.write(`${JSON.stringify(answer)}\n`);
});
