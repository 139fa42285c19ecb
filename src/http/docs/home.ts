/**
 * The root of the server: a page for browsers, links for programs. Both are public and tell nothing about the machine.
 * @module
 */
import { htmlPage, pageHeaders } from './page.ts';
import { type Reply, jsonText, text } from '../routing/reply.ts';
import { type Route, bind } from '../routing/route.ts';
import { getDocs, getHealth, getHome, getOpenApi } from '../../protocol/endpoints/server.ts';

const description =
  'Runs commands, shells, terminals and coding agents on this machine for programs that have its key.';
const project = 'https://www.npmjs.com/package/machine-sidecar';
/** Relative, so that they work behind a reverse proxy that adds a path. */
const links = { docs: below(getDocs), openapi: below(getOpenApi), health: below(getHealth) };

const page = htmlPage('machine-sidecar', `
<h1>machine-sidecar</h1>
<p>${description}</p>
<ul>
<li><a href="${links.docs}">The API for people</a></li>
<li><a href="${links.openapi}">The API as an OpenAPI document</a></li>
<li><a href="${links.health}">Whether the server is well</a></li>
<li><a href="${project}" rel="noreferrer">The README</a></li>
</ul>
<p>Send the key as <code>X-API-Key: KEY</code> or <code>Authorization: Bearer KEY</code>. On the machine itself
<code>sidecar status</code> shows the server and <code>sidecar exec -- COMMAND</code> runs a command.</p>
`);

const summary = JSON.stringify({
  name: 'machine-sidecar',
  description,
  links: { docs: getDocs.path, openapi: getOpenApi.path, health: getHealth.path, readme: project },
});

export function homeRoutes(): Route[] {
  return [bind(getHome, ({ headers }) => home(headers.accept))];
}

function below({ path }: { readonly path: string }): string {
  return path.slice(1);
}

function home(accept: string | undefined): Reply {
  // RFC 9110 §12.5.5: a cache must not mix up the two answers.
  const vary = { Vary: 'Accept' };
  return wantsHtml(accept)
    ? text(200, 'text/html; charset=utf-8', page, { ...pageHeaders, ...vary })
    : jsonText(200, summary, vary);
}

/** RFC 9110 §12.5.1: `text/html` is named, and not with the weight 0. Programs that accept anything get JSON. */
function wantsHtml(accept = ''): boolean {
  return accept.toLowerCase().split(',').some((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    return (type === 'text/html' || type === 'application/xhtml+xml')
      && !parameters.some((part) => /^q=0(\.0{0,3})?$/.test(part));
  });
}
