/**
 * The registry that this user's npm would use, from npm's configuration files.
 * @module
 */
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { errorCode } from '../../base/error-code.ts';
import { readUserFile } from '../../base/files/user-file.ts';
import type { NpmProxySettings } from '../../proxy/rules.ts';
import { SourceError } from '../errors.ts';
import { type Registry, proxySettingsFrom, registryFrom } from './npmrc.ts';
import { parseSource } from './spec.ts';

type Variables = { readonly [name: string]: string | undefined };

/**
 * Reads the registry for `source` and the token for it. A given `registry` overrides npm's setting; its token still
 * comes from npm's files.
 *
 * @throws SourceError where a file cannot be read, or names an invalid registry.
 */
export function configuredRegistry(
  environment: Variables, { source, registry }: { readonly source: string; readonly registry: string | undefined },
): Registry {
  const texts = configTexts(environment);
  const spec = parseSource(source);
  if (registry === undefined) return registryFrom(texts, environment, spec.type === 'npm' ? spec.name : '');
  const others = Object.entries(environment).filter(([name]) => name.toLowerCase() !== 'npm_config_registry');
  // No package name: the registry of a scope would override the one that was given.
  return registryFrom(texts, { ...Object.fromEntries(others), npm_config_registry: new URL(registry).href }, '');
}

/** npm's own proxy settings, read on each call. @throws SourceError where a file cannot be read. */
export function configuredProxies(environment: Variables): NpmProxySettings {
  return proxySettingsFrom(configTexts(environment), environment);
}

function configTexts(environment: Variables): string[] {
  return [userConfig(environment), machineConfig(environment)].map(readConfig);
}

/** https://docs.npmjs.com/cli/configuring-npm/npmrc; the file of a project is ignored. */
function userConfig(environment: Variables): string {
  return variable(environment, 'npm_config_userconfig') ?? join(environment['HOME'] || homedir(), '.npmrc');
}

function machineConfig(environment: Variables): string {
  const given = variable(environment, 'npm_config_globalconfig');
  const besideNode = process.platform === 'win32' ? dirname(process.execPath) : dirname(dirname(process.execPath));
  return given ?? join(variable(environment, 'npm_config_prefix') ?? besideNode, 'etc', 'npmrc');
}

/** npm accepts its variables in any letter case. */
function variable(environment: Variables, name: string): string | undefined {
  return Object.entries(environment).find(([known, value]) => known.toLowerCase() === name && value)?.[1];
}

function readConfig(path: string): string {
  try {
    return readUserFile(path).toString();
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return '';
    const why = code || (error as Error).message;
    throw new SourceError('refused', `Cannot read ${path}: ${why}; make it readable for this user`, { cause: error });
  }
}
