/**
 * The routes of health and metrics.
 * @module
 */
import type { Health, Liveness } from '../protocol/health.ts';
import { json, text } from '../http/routing/reply.ts';
import { type Route, bind } from '../http/routing/route.ts';
import { getHealth, getMetrics } from '../protocol/endpoints/server.ts';
import type { Gauge, Metrics } from './metrics.ts';

export function metricsRoutes(options: { metrics: Metrics; gauges: readonly Gauge[]; health: () => Health }): Route[] {
  const { metrics, gauges, health } = options;
  const liveness: Liveness = { status: 'ok', authenticated: false };
  return [
    bind(getHealth, ({ isAuthenticated }) => json(200, isAuthenticated ? health() : liveness)),
    bind(getMetrics, () => text(200, 'text/plain; version=0.0.4; charset=utf-8', metrics.render(gauges))),
  ];
}
