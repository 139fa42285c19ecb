/**
 * Finds the registry of a package and the token for it, as npm does from its configuration.
 * @module
 */
import type { NpmProxySettings } from '../../proxy/rules.ts';
import { SourceError } from '../errors.ts';

export interface Registry {
  /** Ends in a slash. */
  readonly registry: URL;
  readonly token?: string;
}

type Variables = { readonly [name: string]: string | undefined };
type Settings = ReadonlyMap<string, string>;

/**
 * npm's settings `proxy`, `https-proxy` and `noproxy`, from its files and `npm_config_…` (npm-config(7)).
 *
 * @param npmrcTexts As for {@link registryFrom}.
 */
export function proxySettingsFrom(npmrcTexts: readonly string[], env: Variables): NpmProxySettings {
  const settings = settingsFrom(npmrcTexts, env);
  // A variable has an underscore where a file has a dash.
  return {
    proxy: settings.get('proxy'),
    httpsProxy: settings.get('https_proxy') ?? settings.get('https-proxy'),
    noProxy: settings.get('noproxy'),
  };
}

/**
 * @param npmrcTexts The contents of the files, the strongest first: of the project, the user, the machine.
 * @param env The variables for `${NAME}` and `npm_config_…`.
 * @param name Name of the package; its scope may have a registry of its own.
 * @throws SourceError `malformed` when the address of the registry is not valid.
 */
export function registryFrom(npmrcTexts: readonly string[], env: Variables, name: string): Registry {
  const settings = settingsFrom(npmrcTexts, env);
  const scope = /^(@[^/]+)\//.exec(name)?.[1];
  const scoped = scope === undefined ? undefined : settings.get(`${scope}:registry`);
  const registry = registryUrl(scoped ?? settings.get('registry') ?? 'https://registry.npmjs.org/');
  const token = tokenFor(registry, settings);
  return token === undefined ? { registry } : { registry, token };
}

/** The weakest first, so that stronger settings replace them. */
function settingsFrom(npmrcTexts: readonly string[], env: Variables): Settings {
  const files = [...npmrcTexts].reverse().flatMap((text) => settingsOf(text, env));
  return new Map([...files, ...variables(env)]);
}

function registryUrl(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') {
    throw new SourceError(
      'malformed',
      'Cannot use the registry of the npm configuration: it is not an http address; check `npm config get registry`',
    );
  }
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/`;
  return url;
}

/** The lines of an .npmrc, which is an INI file without sections. */
function settingsOf(text: string, env: Variables): [string, string][] {
  return text.split(/\r?\n/).flatMap((line): [string, string][] => {
    const [, key, value] = /^\s*([^\s;#[=][^=]*?)\s*=(.*)$/.exec(line) ?? [];
    if (key === undefined || value === undefined) return [];
    return [[expandVariables(key, env), expandVariables(unquote(value.trim()), env)]];
  });
}

/** Removes a comment behind a value, unless the value is quoted or the comment mark is escaped. */
function unquote(value: string): string {
  const quoted = /^(["'])(.*)\1$/.exec(value)?.[2];
  return quoted ?? value.replace(/(?<!\\)[;#].*$/, '').replaceAll(/\\([;#\\])/g, '$1').trim();
}

/**
 * Replaces variables as npm does: `${NAME}`, or `${NAME?}` for one that may be missing; a backslash in front prevents
 * that.
 */
function expandVariables(value: string, env: Variables): string {
  return value.replaceAll(/(\\?)\$\{([^${}?]+)(\??)\}/g, (whole, escape: string, name: string, mark: string) =>
    escape !== '' ? whole.slice(1) : env[name] ?? (mark === '' ? whole : ''));
}

/** Settings in variables such as `npm_config_registry`, in any letter case; they are stronger than every file. */
function variables(env: Variables): [string, string][] {
  return Object.entries(env).flatMap(([name, value]): [string, string][] => {
    const key = /^npm_config_(.+)$/i.exec(name)?.[1];
    if (key === undefined || value === undefined || value === '') return [];
    return [[key.startsWith('//') ? key : key.toLowerCase(), expandVariables(value, env)]];
  });
}

/** Searches from `//host/path/` up to `//host`: the closest token wins. */
function tokenFor({ host, pathname }: URL, settings: Settings): string | undefined {
  for (let place = `//${host}${pathname}`; place.length > 2; place = place.replace(/([^/]+|\/)$/, '')) {
    const token = settings.get(`${place}:_authToken`);
    // A token whose variable was not set is ignored.
    if (token !== undefined && token !== '') {
      return /^[\x21-\x7e]+$/.test(token) && !token.includes('${') ? token : undefined;
    }
  }
  return undefined;
}
