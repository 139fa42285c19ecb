/**
 * The registry that this user's npm would ask: the files of its configuration, found where npm looks for them.
 * @module
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { NpmProxySettings } from '../../proxy/rules.ts';
import { SourceError } from '../source-error.ts';
import { type Registry, proxySettingsFrom, registryFrom } from './npmrc.ts';
import { parseSource } from './spec.ts';

type Variables = { readonly [name: string]: string | undefined };

/**
 * The registry for `source` and the token for it, read anew. Where a `registry` is given it is that one, whatever npm says;
 * its token still comes from npm's files.
 *
 * @throws SourceError where a file cannot be read, or names no registry.
 */
export function configuredRegistry(
  environment: Variables, { source, registry }: { readonly source: string; readonly registry: string | undefined },
): Registry {
  const texts = configTexts(environment);
  const spec = parseSource(source);
  if (registry === undefined) return registryFrom(texts, environment, spec.kind === 'npm' ? spec.name : '');
  const others = Object.entries(environment).filter(([name]) => name.toLowerCase() !== 'npm_config_registry');
  // Without a name: the registry of a scope would be stronger than the one that was asked for.
  return registryFrom(texts, { ...Object.fromEntries(others), npm_config_registry: new URL(registry).href }, '');
}

/** npm's own settings of proxies, read with each call. @throws SourceError where a file cannot be read. */
export function configuredProxies(environment: Variables): NpmProxySettings {
  return proxySettingsFrom(configTexts(environment), environment);
}

function configTexts(environment: Variables): string[] {
  return [userConfig(environment), machineConfig(environment)].map(readConfig);
}

/** https://docs.npmjs.com/cli/configuring-npm/npmrc; the file of a project is not ours to obey. */
function userConfig(environment: Variables): string {
  return variable(environment, 'npm_config_userconfig') ?? join(environment['HOME'] || homedir(), '.npmrc');
}

function machineConfig(environment: Variables): string {
  const given = variable(environment, 'npm_config_globalconfig');
  const besideNode = process.platform === 'win32' ? dirname(process.execPath) : dirname(dirname(process.execPath));
  return given ?? join(variable(environment, 'npm_config_prefix') ?? besideNode, 'etc', 'npmrc');
}

/** npm takes its variables in any case. */
function variable(environment: Variables, name: string): string | undefined {
  return Object.entries(environment).find(([known, value]) => known.toLowerCase() === name && value)?.[1];
}

function readConfig(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return '';
    throw new SourceError('refused', `Cannot read ${path}: ${code}; make it readable for this user`, { cause: error });
  }
}
