/**
 * The HTML page that documents the routes, without scripts.
 * @module
 */
import type { Schema } from '../../base/parse.ts';
import { problemTable } from '../../protocol/problem.ts';
import { type ApiDescription, parametersOf, problemsOf } from './openapi.ts';
import { escapeHtml as escape, htmlPage } from './page.ts';
import type { Route } from '../routing/route.ts';

export function docsPage(api: ApiDescription): string {
  const problems = problemTable().map(({ code, status, title }) =>
    [`<code>${code}</code>`, `${status}: ${escape(title)}`] as const);
  return htmlPage(api.title, `
<h1>${escape(api.title)} <small>${escape(api.version)}</small></h1>
<p>${escape(api.description ?? '')}</p>
<p>Send the key as <code>X-API-Key: KEY</code> or <code>Authorization: Bearer KEY</code>. Bodies are JSON. A failure is
<code>application/problem+json</code> (RFC 9457). The same for programs: <a href="openapi.json">openapi.json</a>.</p>
${api.routes.map(section).join('\n')}
<h2>Failures</h2>
${table('', problems)}
`);
}

function section(route: Route): string {
  const { summary, description, answers } = route;
  const id = `${route.method}${route.path}`.replaceAll(/\W+/g, '-').toLowerCase();
  const parameters = parametersOf(route).map((parameter) =>
    [`<code>${escape(parameter.name)}</code> <small>${parameter.in}</small>`,
      fieldText(parameter.schema, parameter.required, parameter.description)] as const);
  const results = Object.entries(answers).map(([status, answer]) =>
    [`<code>${status}</code>`, `${escape(answer.description)} <small>${escape(answer.type ?? '')}</small>`] as const);
  const failures = [...problemsOf(route)].map(([status, codes]) =>
    [`<code>${status}</code>`, codes.join(', ')] as const);
  return [
    `<h2 id="${id}">${route.method} ${escape(route.path)}${
      route.access === 'public' ? ' <small>without the key</small>' : ''
    }</h2>`,
    `<p>${escape(summary)}${description === undefined ? '' : `<br>${escape(description)}`}</p>`,
    table('Parameters', parameters),
    bodyTable(route.body),
    table('Answers', [...results, ...failures]),
  ].join('');
}

function bodyTable(body: Route['body']): string {
  if (body === undefined) return '';
  if (body === 'raw' || body === 'stream') return '<p>Body: any bytes.</p>';
  const { properties = {}, required = [] } = body.schema as
    { properties?: { [name: string]: Schema }; required?: readonly string[] };
  return table('Body', Object.entries(properties).map(([name, schema]) =>
    [`<code>${escape(name)}</code>`, fieldText(schema, required.includes(name), undefined)]));
}

function fieldText(schema: Schema, isRequired: boolean, description: string | undefined): string {
  const words = description ?? (typeof schema['description'] === 'string' ? schema['description'] : '');
  return `${escape(words)} <small>${escape(typeName(schema))}${isRequired ? ', required' : ''}</small>`;
}

function typeName(schema: Schema): string {
  const { type, enum: words, anyOf, items, minimum, exclusiveMinimum, maximum } = schema as
    { [keyword: string]: unknown };
  if (Array.isArray(words)) return words.map((word) => JSON.stringify(word)).join(' or ');
  if (Array.isArray(anyOf)) return (anyOf as Schema[]).map(typeName).join(' or ');
  if (type === 'array') return `list of ${typeName((items ?? {}) as Schema)}`;
  const low = exclusiveMinimum === undefined ? minimum : `above ${String(exclusiveMinimum)}`;
  const range = low === undefined || maximum === undefined ? '' : ` ${String(low)} to ${String(maximum)}`;
  return `${typeof type === 'string' ? type : 'anything'}${range}`;
}

function table(caption: string, rows: readonly (readonly [head: string, text: string])[]): string {
  if (rows.length === 0) return '';
  const body = rows.map(([head, text]) => `<tr><td>${head}</td><td>${text}</td></tr>`).join('');
  return `<table>${caption === '' ? '' : `<caption>${caption}</caption>`}${body}</table>`;
}
