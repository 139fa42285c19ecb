/**
 * The routes of health and metrics.
 * @module
 */
import type { Health, Liveness } from '../protocol/health.ts';
import { json, text } from '../http/routing/reply.ts';
import { type Route, route } from '../http/routing/route.ts';
import type { Gauge, Metrics } from './metrics.ts';

/** A public path: clients without the key may check whether the server runs. */
export const healthPath = '/health';

export function metricsRoutes(options: { metrics: Metrics; gauges: readonly Gauge[]; health: () => Health }): Route[] {
  const { metrics, gauges, health } = options;
  const liveness: Liveness = { status: 'ok', authenticated: false };
  return [
    route('GET', healthPath, {
      access: 'public',
      isVital: true,
      documentation: {
        summary: 'Whether the server is well',
        description: 'Without the key: that it is there. With the key: what it is and does.',
        answers: { 200: { description: 'It is', schema: {
          type: 'object', required: ['status', 'authenticated'],
          properties: { status: { const: 'ok' }, authenticated: { type: 'boolean' } },
        } } },
      },
    }, ({ isAuthenticated }) => json(200, isAuthenticated ? health() : liveness)),

    route('GET', '/metrics', {
      documentation: {
        summary: 'Counters for Prometheus',
        answers: { 200: { description: 'Text exposition format', type: 'text/plain' } },
      },
    }, () => text(200, 'text/plain; version=0.0.4; charset=utf-8', metrics.render(gauges))),
  ];
}
