/**
 * The part of a server that has terminals.
 * @module
 */
import { terminalRoutes } from '../../terminals/routes.ts';
import { Terminals } from '../../terminals/server/terminals.ts';
import type { ServerContext } from '../context.ts';

export async function openTerminals({ config, log, parts }: ServerContext): Promise<Terminals> {
  const {
    stateDir, jobEnvironment: env, maxTerminals, terminalScrollbackBytes, terminalIdleSeconds, terminalLifetimeSeconds,
  } = config;
  const terminals = await Terminals.open({
    stateDir, env, maxTerminals,
    scrollbackBytes: terminalScrollbackBytes,
    idleSeconds: terminalIdleSeconds,
    lifetimeSeconds: terminalLifetimeSeconds,
    log,
  });
  parts.onClose('terminals', () => terminals.close());
  parts.add({
    routes: terminalRoutes(terminals),
    health: () => ({
      terminal_supported: terminals.backend !== null,
      terminal_sessions: terminals.running,
      terminal_backend: terminals.backend,
    }),
    gauges: [
      { name: 'sidecar_terminals', help: 'Terminals whose program runs.', read: () => terminals.running },
    ],
  });
  return terminals;
}
