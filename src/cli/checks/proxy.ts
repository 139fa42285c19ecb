/**
 * Checks the proxies for requests to other machines: which ones are set, whether they can be reached, and what bypasses
 * them.
 * @module
 */
import type { Config } from '../../config/config.ts';
import { connectToProxy } from '../../proxy/connect.ts';
import { ProxyError } from '../../proxy/proxy-error.ts';
import type { ProxyReport } from '../../proxy/report.ts';
import { type Check, type Finding, fail, ok } from './check.ts';

export const proxyChecks: readonly Check[] = [
  { name: 'proxy', run: ({ proxyReport }) => proxy(proxyReport()) },
  { name: 'proxy of updates', run: proxyOfUpdates },
];

const connectTimeoutMs = 3000;

async function proxy(reports: readonly ProxyReport[]): Promise<Finding> {
  const set = reports.filter(({ variable }) => variable !== undefined);
  const problem = set.find((report) => report.problem !== undefined)?.problem ?? await failureOf(set);
  if (problem !== undefined) {
    const [what = '', ...fix] = problem.split('; ');
    return fail(what, fix.join('; ') || 'Correct it, or unset it to go without a proxy');
  }
  if (!set.some(({ name }) => name !== 'no-proxy')) return ok('none');
  return ok(
    `${set.map(({ name, value, variable }) => `${name} ${value} (${variable})`).join(', ')}; loopback directly`,
  );
}

/** Updates from npm also follow npm's own settings. */
async function proxyOfUpdates({ proxyReport }: Config): Promise<Finding> {
  let reports: readonly ProxyReport[];
  try {
    reports = proxyReport('updates');
  } catch (error) {
    // A SourceError: npm's files cannot be read.
    return fail((error as Error).message, 'Make it readable for this user');
  }
  const isSame = JSON.stringify(reports) === JSON.stringify(proxyReport());
  return isSame ? ok('the same') : proxy(reports);
}

/** Connects to the proxies, but sends no request and no password. */
async function failureOf(reports: readonly ProxyReport[]): Promise<string | undefined> {
  const failures = await Promise.all(reports.map(async ({ name, value = '', variable = '' }) => {
    if (name === 'no-proxy') return undefined;
    try {
      (await connectToProxy({ url: new URL(value), variable }, { connectTimeoutMs })).destroy();
      return undefined;
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      return error.message;
    }
  }));
  return failures.find((failure) => failure !== undefined);
}
