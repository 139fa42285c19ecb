/**
 * The table of routes as an OpenAPI 3.1 document.
 * @module
 */
import { defined } from '../../base/defined.ts';
import type { Schema } from '../../base/parse.ts';
import { type ProblemCode, problemTable } from '../../protocol/problem.ts';
import type { Route } from '../routing/route.ts';

export interface ApiDescription {
  readonly title: string;
  readonly version: string;
  readonly description?: string;
  readonly routes: readonly Route[];
}

type Json = { readonly [member: string]: unknown };

/** Failures of every route: those of reading a request. */
const problemsOfAll: readonly ProblemCode[] = ['invalid_request', 'internal'];
const problemsOfKey: readonly ProblemCode[] = ['unauthorized', 'too_many_attempts'];
const problemsOfBody: readonly ProblemCode[] = ['payload_too_large', 'unsupported_media_type'];
const problemsOfKeyedCalls: readonly ProblemCode[] = ['idempotency_mismatch'];
const idempotencyHeader = {
  'Idempotency-Key': 'The same key and request again: the first answer again, and nothing happens.',
} as const;
const problemReference = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };

export function openApi(api: ApiDescription): Json {
  const paths: { [path: string]: { [method: string]: Json } } = {};
  for (const route of api.routes) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: api.title,
      version: api.version,
      ...defined({ description: api.description }),
    },
    security: [{ apiKey: [] }, { bearer: [] }],
    paths,
    components: {
      securitySchemes: {
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
        bearer: { type: 'http', scheme: 'bearer' },
      },
      schemas: { Problem: problemSchema() },
    },
  };
}

/** The failures of a route, by status. */
export function problemsOf(route: Route): ReadonlyMap<number, readonly ProblemCode[]> {
  const codes = new Set<ProblemCode>([
    ...problemsOfAll,
    ...(route.access === 'public' ? [] : problemsOfKey),
    ...(route.isIdempotent === true ? problemsOfKeyedCalls : []),
    ...(route.body === undefined ? [] : problemsOfBody),
    ...(route.problems ?? []),
  ]);
  const byStatus = new Map<number, ProblemCode[]>();
  for (const { code, status } of problemTable()) {
    if (codes.has(code)) byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return byStatus;
}

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required: boolean;
  readonly description?: string;
  readonly schema: Schema;
}

export function parametersOf(route: Route): Parameter[] {
  const names = [...route.path.matchAll(/:(\w+)/g)].map((match) => match[1] ?? '');
  const { properties = {}, required = [] } = (route.query?.schema ?? {}) as
    { properties?: { [name: string]: Schema }; required?: string[] };
  return [
    ...names.map((name) => ({ name, in: 'path' as const, required: true, schema: { type: 'string' } })),
    ...Object.entries(properties).map(([name, schema]) => ({
      name, in: 'query' as const, required: required.includes(name), ...descriptionOf(schema), schema,
    })),
    ...Object.entries(headersOf(route)).map(([name, description]) => ({
      name, in: 'header' as const, required: false, description, schema: { type: 'string' },
    })),
  ];
}

function headersOf({ isIdempotent, headers }: Route): NonNullable<Route['headers']> {
  return { ...(isIdempotent === true ? idempotencyHeader : {}), ...headers };
}

function operation(route: Route): Json {
  const { summary, description } = route;
  return {
    operationId: operationId(route),
    summary,
    ...defined({ description }),
    ...(route.access === 'public' ? { security: [] } : {}),
    parameters: parametersOf(route),
    ...(route.body === undefined ? {} : { requestBody: requestBody(route.body, route.example) }),
    responses: { ...answersOf(route), ...failuresOf(route) },
  };
}

/** `getJobsIdStdout` for `GET /jobs/:id/stdout`. */
function operationId({ method, path }: Route): string {
  const words = path.split(/[^A-Za-z0-9]+/).filter((word) => word !== '');
  return method.toLowerCase() + words.map((word) => (word[0] ?? '').toUpperCase() + word.slice(1)).join('');
}

function requestBody(body: NonNullable<Route['body']>, example: object | undefined): Json {
  if (body === 'raw' || body === 'stream') return { content: { 'application/octet-stream': {} } };
  const required = (body.schema['required'] as readonly string[] | undefined ?? []).length > 0;
  return { required, content: { 'application/json': { schema: body.schema, ...defined({ example }) } } };
}

function answersOf(route: Route): Json {
  const answers = Object.entries(route.answers).map(([status, { description, type, body }]) => {
    const media = type ?? (body === undefined ? undefined : 'application/json');
    if (media === undefined) return [status, { description }];
    return [status, { description, content: { [media]: defined({ schema: body?.schema }) } }];
  });
  return Object.fromEntries(answers) as Json;
}

function failuresOf(route: Route): Json {
  const failures = [...problemsOf(route)].map(([status, codes]) =>
    [String(status), { description: codes.join(', '), content: problemReference }]);
  return Object.fromEntries(failures) as Json;
}

function problemSchema(): Schema {
  const text = { type: 'string' };
  return {
    type: 'object',
    description: 'A failure (RFC 9457).',
    properties: {
      type: text,
      title: text,
      status: { type: 'integer' },
      detail: { ...text, description: 'The action, then the state.' },
      code: { ...text, enum: problemTable().map(({ code }) => code) },
      error: { ...text, description: 'The same as detail.' },
    },
    required: ['type', 'title', 'status', 'detail', 'code', 'error'],
  };
}

function descriptionOf(schema: Schema): { readonly description?: string } {
  const { description } = schema;
  return typeof description === 'string' ? { description } : {};
}
