/**
 * Explains why a server or its wrapper cannot start, and whether another start would fail the same way.
 * @module
 */
import { asSystemError, errorCode } from '../../base/error-code.ts';
import { isDiskFull } from '../../base/files/disk-full.ts';
import { ParseError } from '../../base/parse.ts';
import type { Config } from '../../config/config.ts';
import { LockHeldError } from '../../process/state/lock.ts';
import { StateDirectoryError } from '../../process/state/state-directory.ts';

export interface ServeFailure {
  readonly reason: string;
  /** Every start fails until a person changes something: the port, the state directory, the configuration. */
  readonly isFinal: boolean;
}

type ServeSettings = Pick<Config, 'host' | 'port' | 'stateDir' | 'tlsCert' | 'tlsKey'>;

export function explainServeFailure(error: unknown, config: ServeSettings): ServeFailure {
  const failure = asSystemError(error);
  const { message } = failure;
  if (error instanceof LockHeldError || error instanceof ParseError || error instanceof StateDirectoryError) {
    return { reason: message, isFinal: true };
  }
  const known = certificateFailure(failure, config)
    ?? addressFailure(failure, config)
    ?? stateDirectoryFailure(failure, config);
  if (known !== undefined) return known;
  // The message says what is wrong with a file, such as the key file.
  if (errorCode(error) === '' && message.startsWith('Cannot ')) {
    return { reason: message, isFinal: message.startsWith('Cannot use ') };
  }
  return { reason: `Cannot serve: ${message}`, isFinal: false };
}

function certificateFailure(
  { message, code = '', path }: NodeJS.ErrnoException, { tlsCert, tlsKey }: ServeSettings,
): ServeFailure | undefined {
  const isRead = path !== undefined && code !== 'EMFILE' && code !== 'ENFILE';
  if (isRead && path === tlsCert) {
    return { reason: `Cannot read the certificate of --tls-cert: ${message}`, isFinal: true };
  }
  if (isRead && path === tlsKey) return { reason: `Cannot read the key of --tls-key: ${message}`, isFinal: true };
  if (!/^ERR_(OSSL|SSL)_/.test(code)) return undefined;
  return { reason: `Cannot use --tls-cert with --tls-key: ${message}`, isFinal: true };
}

function addressFailure(
  { code = '', syscall }: NodeJS.ErrnoException, { host, port }: ServeSettings,
): ServeFailure | undefined {
  if (code === 'EADDRINUSE') {
    return {
      reason: `Cannot listen on ${host}:${port}: the port is in use; choose another with --port`, isFinal: true,
    };
  }
  // At boot the address may be added later.
  if (code === 'EADDRNOTAVAIL') {
    return { reason: `Cannot listen on ${host}:${port}: this machine has no such address`, isFinal: false };
  }
  if (!['EACCES', 'EPERM'].includes(code) || (syscall !== 'listen' && syscall !== 'bind')) return undefined;
  return { reason: `Cannot listen on ${host}:${port}: not allowed; ports below 1024 are for root`, isFinal: true };
}

/** Errors of the system about a directory that do not go away by themselves. */
const reasons: { readonly [code: string]: string } = {
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  EROFS: 'its file system is read-only',
  EEXIST: 'something else than a directory stands there',
  ENOTDIR: 'something else than a directory stands there',
  EISDIR: 'a directory stands in the place of a file',
  ENOENT: 'its file system takes no directory there',
  ELOOP: 'there are too many links in its path',
  ENAMETOOLONG: 'its path is too long',
  EINVAL: 'its file system does not take such a name',
  EXDEV: 'it consists of more than one file system',
  ENOTSUP: 'its file system lacks something that a server needs',
};

function stateDirectoryFailure(error: NodeJS.ErrnoException, { stateDir }: ServeSettings): ServeFailure | undefined {
  const { code = '', path, message } = error;
  const isThere = path !== undefined && (isWithin(path, stateDir) || isWithin(stateDir, path));
  const say = (why: string): string =>
    `Cannot use the state directory ${stateDir}: ${why}; choose another with --state-dir`;
  // Space may become free.
  if (isDiskFull(error)) return { reason: say(`its disk is full (${code})`), isFinal: false };
  const why = reasons[code];
  if (why === undefined || !isThere) return undefined;
  return { reason: say(`${why} (${message})`), isFinal: true };
}

function isWithin(path: string, folder: string): boolean {
  return path === folder
    || path.startsWith(folder.endsWith('/') || folder.endsWith('\\') ? folder : `${folder}/`)
    || path.startsWith(`${folder}\\`);
}
