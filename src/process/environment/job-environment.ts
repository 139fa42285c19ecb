/**
 * The environment that jobs, shells, terminals and agents inherit.
 * @module
 */
import { environmentBeforeNpm, withoutNpm } from './npm.ts';
import { withoutOwnTerminal } from './own-terminal.ts';
import { type Environment, type Variables, withoutSecrets } from './secrets.ts';
import { userDefaults } from './user.ts';

/**
 * The environment of this program, less everything secret, what npm added for its script, and what is true of this program's own terminal
 * alone; plus what a login would have set.
 *
 * @param options.before What npm was started with. Default: looked for where npm has started this program.
 */
export function jobEnvironment(environment: Environment, { before }: { readonly before?: Environment } = {}): Variables {
  const start = before ?? (environment['npm_lifecycle_event'] === undefined ? undefined : environmentBeforeNpm());
  const inherited = withoutSecrets(withoutOwnTerminal(withoutNpm(environment, start)));
  return { ...inherited, ...userDefaults(inherited) };
}
