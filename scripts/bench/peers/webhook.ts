/** Peer: webhook (Go, https://github.com/adnanh/webhook), which runs a command for each request. @module */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from '../bench.ts';
import { findProgram, freePort } from '../yardsticks/ssh.ts';
import { httpPeer, type MissingPeer, type Peer, startListener } from './peer.ts';

const KEY_HEADER = 'X-Api-Key';
const name = 'webhook';

/** Starts webhook with two hooks: `run` answers with the output, `submit` at once. */
export async function startWebhook(bench: Bench): Promise<Peer | MissingPeer> {
  const command = findProgram(name);
  if (command === undefined) return { name, missing: 'no webhook here (Debian: apt install webhook)' };
  const folder = bench.newFolder(name);
  const port = await freePort();
  const key = randomBytes(24).toString('hex');
  const hooks = [
    { ...hookOf('run', key, folder), 'include-command-output-in-response': true },
    { ...hookOf('submit', key, folder), 'response-message': 'accepted' },
  ];
  writeFileSync(join(folder, 'hooks.json'), JSON.stringify(hooks), { mode: 0o600 });
  const args = ['-ip', '127.0.0.1', '-port', String(port), '-hooks', join(folder, 'hooks.json')];
  const pid = await startListener(bench, { command, args, port, folder });
  const request = { method: 'POST', body: { command: 'true' } } as const;
  const address = { host: '127.0.0.1', port, headers: { [KEY_HEADER]: key } };
  return httpPeer(bench, address, {
    name,
    tree: { pid },
    submit: { ...request, paths: ['/hooks/submit'], expect: 'accepted' },
    run: { ...request, paths: ['/hooks/run'] },
  });
}

function hookOf(id: string, key: string, folder: string): object {
  return {
    id,
    'execute-command': '/bin/sh',
    'command-working-directory': folder,
    'pass-arguments-to-command': [
      { source: 'string', name: '-c' },
      { source: 'payload', name: 'command' },
    ],
    'trigger-rule': {
      match: { type: 'value', value: key, parameter: { source: 'header', name: KEY_HEADER } },
    },
  };
}
