/**
 * What the whole server answers: the routes of its parts, and those about itself (health, metrics, tickets, documents).
 * @module
 */
import { hostname } from 'node:os';
import { createAuthenticator } from '../http/auth/auth.ts';
import type { Keys } from '../http/auth/keys.ts';
import { Tickets, ticketRoutes } from '../http/auth/tickets.ts';
import { documentationRoutes } from '../http/docs/docs.ts';
import { homeRoutes } from '../http/docs/home.ts';
import type { RoutingOptions } from '../http/server/listen.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { metricsRoutes } from '../metrics/routes.ts';
import { ownDirectory } from '../process/workdir.ts';
import type { Health, HealthOfCapacity } from '../protocol/health.ts';
import { terminalPortRoutes } from '../terminals/routes.ts';
import type { Terminals } from '../terminals/server/terminals.ts';
import type { ServerContext } from './context.ts';

export interface ServerRoutesSources {
  readonly metrics: Metrics;
  readonly keys: Pick<Keys, 'accepts'>;
  readonly terminals: Terminals;
  readonly capacity: () => HealthOfCapacity;
  /** The port for terminals alone; `null`: there is none. */
  readonly terminalPort: () => number | null;
}

export interface ServerRoutes {
  readonly main: RoutingOptions;
  /** Of the port for terminals alone. */
  readonly terminals: RoutingOptions;
}

/** To be called once all parts are open. */
export function serverRoutes(
  { parts, version, log }: ServerContext, { metrics, keys, terminals, capacity, terminalPort }: ServerRoutesSources,
): ServerRoutes {
  const tickets = new Tickets();
  const authenticator = createAuthenticator({ accepts: (key) => keys.accepts(key), log });
  const base = healthOfServer(version);
  const health = (): Health => ({
    ...base(), capacity: capacity(), terminal_port: terminalPort(), ...parts.health(),
  }) as Health;
  const gauges = [
    ...parts.gauges,
    { name: 'process_resident_memory_bytes', help: 'Resident memory.', read: () => process.memoryUsage.rss() },
    { name: 'process_cpu_seconds', help: 'Processor time used.', read: () => cpuSeconds() },
  ];
  const routes = [
    ...metricsRoutes({ metrics, gauges, health }), ...parts.routes, ...ticketRoutes(tickets), ...homeRoutes(),
  ];
  return {
    main: {
      routes: [...routes, ...documentationRoutes({ title: 'machine-sidecar', version, routes })],
      authenticator, tickets,
    },
    terminals: { routes: terminalPortRoutes(terminals), authenticator, tickets },
  };
}

/** The fields of `GET /health` that belong to no part. */
function healthOfServer(version: string): () => Partial<Health> {
  const startedAt = performance.now();
  return () => ({
    status: 'ok', authenticated: true, version,
    hostname: hostname(), platform: process.platform, arch: process.arch,
    pid: process.pid, cwd: ownDirectory(), uptimeSeconds: Math.round((performance.now() - startedAt) / 1000),
  });
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
