/**
 * Classifies a failed update: for its caller, for the next attempt, and for the log.
 * @module
 */
import { asSystemError } from '../base/error-code.ts';
import { isDiskFull } from '../base/files/disk-full.ts';
import { ProblemError, type ProblemCode } from '../protocol/problem.ts';
import { SourceError, TarballError, TrustError, UpdateError } from './errors.ts';

export interface Failure {
  readonly code: ProblemCode;
  readonly reason: string;
  /** The version itself is at fault. */
  readonly isToBlame: boolean;
  /** A bug of this program. */
  readonly isUnexpected: boolean;
}

export function classifyFailure(error: unknown): Failure {
  const known = { reason: messageOf(error), isUnexpected: false };
  if (error instanceof ProblemError) return { ...known, code: error.code, isToBlame: false };
  if (error instanceof UpdateError) return { ...known, code: 'update_refused', isToBlame: error.isToBlame };
  if (error instanceof TarballError) return { ...known, code: 'update_refused', isToBlame: true };
  // The version is not blamed: the answer may be forged, and a key may be trusted later. Otherwise an attacker could
  // block versions of other publishers.
  if (error instanceof TrustError) return { ...known, code: 'update_refused', isToBlame: false };
  if (error instanceof SourceError) {
    return {
      ...known,
      code: error.reason === 'not_found' ? 'version_not_found' : 'update_source_failed',
      isToBlame: false,
    };
  }
  if (isDiskFull(error)) {
    return {
      ...known,
      code: 'storage_full',
      reason: `the disk is full (${messageOf(error)}); make room, then try again`,
      isToBlame: false,
    };
  }
  if (isSystemError(error)) return { ...known, code: 'update_source_failed', isToBlame: false };
  return { code: 'internal', reason: `unexpected failure: ${messageOf(error)}`, isToBlame: false, isUnexpected: true };
}

function isSystemError(error: unknown): boolean {
  const { syscall, errno } = asSystemError(error);
  return typeof syscall === 'string' || typeof errno === 'number';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
