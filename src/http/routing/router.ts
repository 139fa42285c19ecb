/**
 * Finds the resource at a path.
 * @module
 */
import { ParseError } from '../../base/parse.ts';
import type { Route } from './route.ts';

export type Params = { readonly [name: string]: string };

/** All routes of one path. */
export interface Resource {
  readonly path: string;
  /** By method; HEAD is the route of GET. */
  readonly routes: ReadonlyMap<string, Route>;
  /** The value of the header `Allow`. */
  readonly allow: string;
}

export interface Match {
  readonly resource: Resource;
  readonly params: Params;
}

export interface Router {
  /**
   * @param path The path as received, without the query.
   * @throws ParseError when a variable part is not percent-encoded UTF-8.
   */
  match(path: string): Match | undefined;
}

interface Node {
  readonly fixed: Map<string, Node>;
  variable?: Node;
  end?: { readonly resource: Resource; readonly names: readonly string[] };
}

/** @throws Error when two routes have the same method and path. */
export function createRouter(routes: readonly Route[]): Router {
  const fixedPaths = new Map<string, Match>();
  const root: Node = { fixed: new Map() };
  for (const resource of resources(routes)) {
    if (resource.path.includes(':')) plant(root, resource);
    else fixedPaths.set(resource.path, { resource, params: {} });
  }
  return { match: (path) => fixedPaths.get(path) ?? find(root, path.split('/'), 1, []) };
}

function resources(routes: readonly Route[]): Resource[] {
  const byPath = new Map<string, Map<string, Route>>();
  for (const route of routes) {
    const methods = byPath.get(route.path) ?? new Map<string, Route>();
    if (methods.has(route.method))
      throw new Error(`Cannot make the table of routes: ${route.method} ${route.path} is in it twice`);
    methods.set(route.method, route);
    if (route.method === 'GET') methods.set('HEAD', route);
    byPath.set(route.path, methods);
  }
  return [...byPath].map(([path, methods]) =>
    ({ path, routes: methods, allow: [...methods.keys(), 'OPTIONS'].join(', ') }));
}

function plant(root: Node, resource: Resource): void {
  const names: string[] = [];
  let node = root;
  for (const segment of resource.path.split('/').slice(1)) {
    const isVariable = segment.startsWith(':');
    if (isVariable) names.push(segment.slice(1));
    const next: Node = (isVariable ? node.variable : node.fixed.get(segment)) ?? { fixed: new Map() };
    if (isVariable) node.variable = next;
    else node.fixed.set(segment, next);
    node = next;
  }
  if (node.end)
    throw new Error(`Cannot make the table of routes: ${resource.path} and ${node.end.resource.path} are the same`);
  node.end = { resource, names };
}

/** Fixed segments take precedence over variable ones; `values` holds the variable segments so far. */
function find(node: Node, segments: readonly string[], index: number, values: readonly string[]): Match | undefined {
  const segment = segments[index];
  if (segment === undefined)
    return node.end && { resource: node.end.resource, params: nameValues(node.end.names, values) };
  const fixed = node.fixed.get(segment);
  const match = fixed && find(fixed, segments, index + 1, values);
  if (match || !node.variable) return match;
  // RFC 3986 §5.2.4: dot segments are steps, not names; no client sends them as a name.
  const value = decodeSegment(segment);
  return value === '' || value === '.' || value === '..'
    ? undefined
    : find(node.variable, segments, index + 1, [...values, value]);
}

function nameValues(names: readonly string[], values: readonly string[]): Params {
  const params: { [name: string]: string } = {};
  names.forEach((name, index) => { params[name] = values[index] ?? ''; });
  return params;
}

function decodeSegment(segment: string): string {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new ParseError('path', 'expected percent-encoded UTF-8');
  }
}
