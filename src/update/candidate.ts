/**
 * Decides whether a release may be tried, from what is known before any of its files is fetched.
 * @module
 */
import { ProblemError } from '../protocol/problem.ts';
import type { UpdateRequest } from '../protocol/updates.ts';
import { parseIntegrity } from './trust/integrity.ts';
import { npmRegistryKeys, verifyManifest, verifyRegistrySignature } from './trust/signatures.ts';
import type { Release } from './sources/source.ts';
import { TrustError, UpdateError } from './errors.ts';
import type { TrustedKeys } from './trust/trusted-keys.ts';
import { compareVersions } from './versions/semver.ts';
import { type VersionState, mayTry } from './versions/version-state.ts';

export interface UpdateContext {
  readonly request: Pick<UpdateRequest, 'version' | 'allowDowngrade'>;
  /** The version that runs. */
  readonly current: string;
  readonly state: VersionState;
  /** The version of Node that runs. */
  readonly node: string;
}

/**
 * Checks that the version may be installed here.
 *
 * @throws ProblemError update_refused for what the caller may overrule: a downgrade, or a version that failed before.
 * @throws UpdateError where this Node is too old.
 */
export function assertCompatible(
  { version, minNode }: Release, { request, current, state, node }: UpdateContext,
): void {
  const isNamed = request.version !== undefined;
  if (compareVersions(version, current) < 0 && !(isNamed && request.allowDowngrade === true)) {
    throw new ProblemError('update_refused', `Cannot go back to ${version}: ${current} runs, which is newer; ` +
      'to do so all the same, name the version and allow the downgrade ' +
      `(sidecar update --version ${version} --allow-downgrade)`);
  }
  if (!mayTry(state, version, { isAskedFor: isNamed })) {
    const reason = state.bad.find((bad) => bad.version === version)?.reason;
    throw new ProblemError('update_refused', `Cannot install ${version}: it went wrong before (${reason}); ` +
      `naming it tries it again (sidecar update --version ${version})`);
  }
  if (minNode !== undefined && compareVersions(node, minNode) < 0) {
    throw new UpdateError(
      `Cannot install ${version}: it needs Node ${minNode} or later, and this is ${node}; install a newer Node`,
      { isToBlame: false },
    );
  }
}

/**
 * Checks that the release is signed as its source requires, and has an integrity to check its files against.
 *
 * @param trusted Reads the user's keys; not called for a release on this machine.
 * @throws TrustError where it is not; UpdateError where the user's keys cannot be read.
 */
export function assertTrusted({ version, integrity, proof }: Release, trusted: () => TrustedKeys): void {
  if (proof.type === 'local') return;
  if (integrity === undefined) {
    throw new TrustError('weak-integrity', `Cannot trust ${version}: the source gives no integrity for it`);
  }
  parseIntegrity(integrity);
  const keys = readKeys(trusted);
  switch (proof.type) {
    case 'npm': return verifyRegistrySignature(
      { ...proof, version, integrity },
      [...npmRegistryKeys, ...keys.registry],
    );
    case 'manifest': return verifyManifest(proof.manifest, proof.signature, keys.manifest);
  }
}

function readKeys(trusted: () => TrustedKeys): TrustedKeys {
  try {
    return trusted();
  } catch (error) {
    throw new UpdateError((error as Error).message, { isToBlame: false, cause: error });
  }
}
