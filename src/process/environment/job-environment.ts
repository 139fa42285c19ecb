/**
 * The environment that jobs, shells, terminals and agents inherit.
 * @module
 */
import { environmentBeforeNpm, withoutNpm } from './npm.ts';
import { withoutOwnTerminal } from './own-terminal.ts';
import { type Environment, type Variables, withoutSecrets } from './secrets.ts';
import { userDefaults } from './user.ts';

/**
 * The environment of this program without secrets, without what npm added for its script, and without variables of this
 * program's own terminal; with the variables that a login would have set.
 *
 * @param options.before The environment that npm was started with. Default: read from `/proc` if npm started this
 *   program.
 */
export function jobEnvironment(
  environment: Environment, { before }: { readonly before?: Environment } = {},
): Variables {
  const start = before ?? (environment['npm_lifecycle_event'] === undefined ? undefined : environmentBeforeNpm());
  const inherited = withoutSecrets(withoutOwnTerminal(withoutNpm(environment, start)));
  return { ...inherited, ...userDefaults(inherited) };
}
