/**
 * Agents that jobs of this server have installed, below the state directory:
 *
 * ```
 * agents/NAME.json     how to start it: replaced once an installation is complete
 * agents/NAME-SUFFIX/  its files; those of the previous installation stay, because an agent may still run from them
 * ```
 * @module
 */
import { readdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { closest } from '../../base/text/closest.ts';
import { defined } from '../../base/defined.ts';
import { fieldsOf, listOf, textOf } from '../../base/loose.ts';
import { ParseError, describe, refuse } from '../../base/parse.ts';
import { readRegular } from '../../base/files/untrusted-file.ts';
import { findProgram, isExecutable } from '../../process/find-program.ts';
import {
  type AgentEntry, type InstallKind, type InstallRequest, agentNamePattern, installKinds,
} from '../../protocol/agents/install-requests.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { type InstalledAgent, knownAgents, packageNameOf } from '../registry.ts';

/** The input of the job that installs an agent. */
export interface InstallOrder {
  readonly name: string;
  readonly title: string;
  readonly kind: InstallKind;
  /** A package, with its version, or the URL of an archive. */
  readonly source: string;
  /** The hash of the archive, in hexadecimal digits. */
  readonly sha256?: string;
  /** The program: by its name for a package, by its path in an archive. Default: the program that the package names. */
  readonly cmd?: string;
  readonly args: readonly string[];
  readonly env: { readonly [name: string]: string };
  readonly version?: string;
}

/** Time limit of an installation. */
export const installSeconds = 3600;
const maxFileBytes = 1_048_576;

/** @param directory May be missing. */
export function installedAgents(directory: string): readonly InstalledAgent[] {
  return namesIn(directory).flatMap((name) => {
    const read = recordIn(directory, name);
    const [program, ...args] = listOf(read['argv']).filter((word): word is string => typeof word === 'string');
    if (program === undefined) return [];
    const env = Object.entries(fieldsOf(read['env'])).flatMap(([variable, value]) =>
      (typeof value === 'string' ? [[variable, value] as const] : []));
    return [{
      name, title: textOf(read['title']) ?? name, argv: [program, ...args] as const, env: Object.fromEntries(env),
      packageName: textOf(read['source']) ?? '', version: textOf(read['version']) ?? null,
      path: isExecutable(program) ? program : null,
    }];
  });
}

/** The record of an installed agent; `{}` if it is not installed. */
export function recordIn(directory: string, name: string): { readonly [field: string]: unknown } {
  try {
    return fieldsOf(JSON.parse(readRegular(recordFile(directory, name), maxFileBytes).toString()));
  } catch {
    // The file is missing, or is not one that a job of this server wrote: nothing is known of the agent.
    return {};
  }
}

export function recordFile(directory: string, name: string): string {
  return join(directory, `${name}.json`);
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length))
      .filter((name) => agentNamePattern.test(name)).sort();
  } catch {
    return [];
  }
}

/** @param path The search path. @throws ParseError, ProblemError not_supported. */
export function installOrder(name: string, request: InstallRequest, path: string): InstallOrder {
  if (!agentNamePattern.test(name)) refuse('the name of the agent', 'lowercase letters, digits and hyphens', name);
  const entry = request.entry ?? knownEntry(name);
  const { version = entry.version } = request;
  const methods = installKinds.flatMap((kind) => installMethodsOf(kind, entry, request.version));
  const wanted = methods.filter(({ kind }) => request.kind === undefined || kind === request.kind);
  const [way] = wanted.filter((one) => isVerifiable(one) && missingProgram(one.kind, path) === undefined);
  if (way) return { name, title: entry.name ?? name, ...defined({ version }), ...way };
  const [first] = wanted;
  if (first && !isVerifiable(first)) {
    // Without a hash, nothing proves that the archive is the one that the entry means.
    const why = `expected a sha256 of ${describe(first.source)}, without which it is not unpacked`;
    throw new ParseError('body.entry', why);
  }
  const why = first ? missingProgram(first.kind, path) : `its entry has ${describeOffer(entry, methods)}`;
  const how = request.kind === undefined ? '' : ` by ${request.kind}`;
  throw new ProblemError('not_supported', `Cannot install ${name}${how}: ${why}`);
}

type InstallMethod = Pick<InstallOrder, 'kind' | 'source' | 'sha256' | 'cmd' | 'args' | 'env'>;

/** @param version The requested version: an archive has only that of its entry. */
function installMethodsOf(kind: InstallKind, entry: AgentEntry, version: string | undefined): readonly InstallMethod[] {
  if (kind === 'binary') {
    const { [platform()]: found } = entry.distribution.binary ?? {};
    if (!found || (version !== undefined && version !== entry.version)) return [];
    const { archive, sha256, cmd, args = [], env = {} } = found;
    return [{ kind, source: archive, ...defined({ sha256: sha256?.toLowerCase() }), cmd, args, env }];
  }
  const found = entry.distribution[kind];
  if (!found) return [];
  const { package: named, cmd, args = [], env = {} } = found;
  const source = version === undefined ? named : `${packageNameOf(named)}@${version}`;
  return [{ kind, source, ...defined({ cmd }), args, env }];
}

function describeOffer(
  { distribution: { binary }, version = 'that it names' }: AgentEntry, methods: readonly InstallMethod[],
): string {
  if (methods.length > 0) return `only ${methods.map(({ kind }) => kind).join(', ')}`;
  return binary?.[platform()] ? `only the version ${version}` : `nothing for ${platform()}`;
}

function isVerifiable({ kind, sha256 }: InstallMethod): boolean {
  return kind !== 'binary' || sha256 !== undefined;
}

function platform(): string {
  const machine = { arm64: 'aarch64', x64: 'x86_64' }[process.arch as string] ?? process.arch;
  return `${process.platform}-${machine}`;
}

/** @throws ParseError */
function knownEntry(name: string): AgentEntry {
  const known = knownAgents.find((agent) => agent.name === name);
  if (known) {
    const [cmd, ...args] = known.argv;
    return { name: known.title, distribution: { npx: { package: known.packageName, cmd, args } } };
  }
  const names = [...new Set(knownAgents.map((agent) => agent.name))];
  const meant = closest(name, names);
  const hint = meant === undefined ? '' : `, did you mean "${meant}"?`;
  const expected = `expected one of ${names.join(', ')}, or an entry of a registry`;
  throw new ParseError('the name of the agent', `${expected}, received ${describe(name)}${hint}`);
}

const programs = { npx: 'npm', uvx: 'uv', binary: 'tar' } as const;

function missingProgram(kind: InstallKind, path: string): string | undefined {
  if (installer(kind, path) !== undefined) return undefined;
  return `${programs[kind]} is not installed on the machine of the server: install it there first`;
}

/** The program that installs: found on the search path or, as npm is, beside Node. */
export function installer(kind: InstallKind, path: string): string | undefined {
  return findProgram(programs[kind], `${path}${delimiter}${dirname(process.execPath)}`);
}
