/** All peers. @module */
import type { Bench } from '../bench.ts';
import { type MissingPeer, messageOf, type Peer } from './peer.ts';
import { startOpenSsh } from './openssh.ts';
import { startSandboxAgent } from './sandbox-agent.ts';
import { startWebhook } from './webhook.ts';

const STARTS: Readonly<Record<string, (bench: Bench) => Promise<Peer | MissingPeer>>> = {
  webhook: startWebhook,
  'sandbox-agent': startSandboxAgent,
  ssh: startOpenSsh,
};
/** The jobs that a peer has run before it is measured. */
const WARMUP = { concurrency: 8, warmup: 0, count: 200 };

/** Starts the peers that are installed, and returns the reason why others are not. */
export async function startPeers(bench: Bench): Promise<{ peers: Peer[]; absent: MissingPeer[] }> {
  const peers: Peer[] = [];
  const absent: MissingPeer[] = [];
  for (const [name, start] of Object.entries(STARTS)) {
    try {
      const peer = await start(bench);
      if ('missing' in peer) {
        absent.push(peer);
        continue;
      }
      await peer.run(WARMUP);
      peers.push(peer);
    } catch (error) {
      absent.push({ name, missing: messageOf(error) });
    }
  }
  return { peers, absent };
}
