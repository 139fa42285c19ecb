/**
 * The calls about the server itself.
 * @module
 */
import { mapOf, shape, string } from '../answer.ts';
import { endpoint } from '../endpoint.ts';
import { health } from '../health.ts';
import { ticket } from '../tickets.ts';

export const getHome = endpoint('GET', '/', {
  summary: 'What this server is, and where its documentation is',
  description: 'A page where Accept names text/html, as browsers do; JSON with links otherwise.',
  access: 'public',
  answers: { 200: {
    description: 'A page, or the links',
    body: shape<{ name: string; description: string; links: { readonly [name: string]: string } }>({
      name: string, description: string, links: mapOf(string),
    }),
  } },
});

export const getHealth = endpoint('GET', '/health', {
  summary: 'Whether the server is well',
  description: 'Without the key: that it is there. With the key: what it is and does.',
  access: 'public',
  isVital: true,
  answers: { 200: { description: 'It is', body: health } },
});

export const getMetrics = endpoint('GET', '/metrics', {
  summary: 'Counters for Prometheus',
  answers: { 200: { description: 'Text exposition format', type: 'text/plain' } },
});

export const getOpenApi = endpoint('GET', '/openapi.json', {
  summary: 'This API as an OpenAPI 3.1 document',
  access: 'public',
  answers: { 200: { description: 'The document', type: 'application/json' } },
});

export const getDocs = endpoint('GET', '/docs', {
  summary: 'This API for people',
  access: 'public',
  answers: { 200: { description: 'A page', type: 'text/html' } },
});

export const makeTicket = endpoint('POST', '/tickets', {
  summary: 'A one-time ticket to open a WebSocket with',
  description: 'For pages, which cannot send the key with a WebSocket: it goes into the address '
    + 'as ?ticket=, holds for 30 seconds and once.',
  isIdempotent: true,
  answers: { 201: { description: 'A ticket', body: ticket } },
  problems: ['too_many_tickets'],
});
