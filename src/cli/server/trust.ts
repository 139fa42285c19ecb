/**
 * Manages whose updates are installed: what `sidecar key` does with `update-keys.json`.
 * @module
 */
import { open } from 'node:fs/promises';
import type { Config } from '../../config/config.ts';
import { npmRegistryKeys } from '../../update/trust/signatures.ts';
import { distrustKey, readTrustedKeys, trustKey } from '../../update/trust/trusted-keys.ts';
import { CommandError, exitCodes } from '../failure.ts';
import { painter, printJson, printLine, printMessage, table } from '../io/print.ts';
import { write } from '../io/streams.ts';

/** Limit in bytes; a registry serves some hundred bytes for each of its keys. */
const maxKeysBytes = 64 * 1024;

/**
 * @param given A key, the path of a file with one, or `-` for stdin.
 * @throws ParseError when it is not a key; CommandError when the file cannot be read.
 */
export async function trust(stateDir: string, given: string, isJson: boolean): Promise<number> {
  const names = trustKey(stateDir, isKey(given) ? given : await readKeys(given));
  if (isJson) await printJson(names);
  else for (const name of names) await printLine(name);
  printMessage(names.length === 1 ? 'it is trusted from now on' : 'they are trusted from now on');
  return exitCodes.ok;
}

/** Prints the trusted keys, including those that come with the program. */
export async function listTrusted(
  { stateDir, isColour }: Pick<Config, 'stateDir' | 'isColour'>, isJson: boolean,
): Promise<number> {
  const { manifest, registry } = readTrustedKeys(stateDir);
  const own = registry.map(({ keyid }) => keyid);
  const keys: TrustedKey[] = [
    ...manifest.map((name): TrustedKey => ({ name, of: 'release', expires: null, from: 'user' })),
    ...registry.map(({ keyid, expires }): TrustedKey => ({ name: keyid, of: 'registry', expires, from: 'user' })),
    ...npmRegistryKeys.filter(({ keyid }) => !own.includes(keyid))
      .map(({ keyid, expires }): TrustedKey => ({ name: keyid, of: 'registry', expires, from: 'program' })),
  ];
  if (isJson) await printJson(keys);
  else await write(
    table(['KEY', 'OF A', 'UNTIL', 'FROM'], keys.map(row), { paint: painter(isColour(process.stdout)) }),
  );
  return exitCodes.ok;
}

/** @throws CommandError when the key was not trusted, or comes with the program. */
export async function distrust(stateDir: string, name: string, isJson: boolean): Promise<number> {
  const wasTrusted = distrustKey(stateDir, name);
  const isOurs = npmRegistryKeys.some(({ keyid }) => keyid === name);
  if (!wasTrusted) {
    throw new CommandError(`Cannot distrust ${name}: ${isOurs ? 'it comes with this program' : 'it is not trusted'}`, {
      hint: isOurs ? 'Choose another --update-source to do without npm' : 'See: sidecar key trusted',
    });
  }
  if (isJson) await printJson([name]);
  printMessage(`${name} is no longer trusted${isOurs ? ' as you gave it, but as it comes with this program' : ''}`);
  return exitCodes.ok;
}

interface TrustedKey {
  readonly name: string;
  /** Who signs with the key. */
  readonly of: 'release' | 'registry';
  /** ISO 8601. */
  readonly expires: string | null;
  readonly from: 'user' | 'program';
}

function row({ name, of, expires, from }: TrustedKey): string[] {
  return [name, of, expires?.slice(0, 10) ?? '-', from];
}

function isKey(text: string): boolean {
  return /^\s*(ed25519:|SHA256:|\{)/.test(text);
}

async function readKeys(path: string): Promise<string> {
  try {
    if (path === '-') return await textOf(process.stdin);
    const file = await open(path);
    try {
      return await textOf(file.createReadStream({ autoClose: false }));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(`Cannot read the key: ${(error as Error).message}`, {
      hint: 'Expected ed25519:BASE64, SHA256:ID BASE64, or a file that holds one', cause: error,
    });
  }
}

async function textOf(stream: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunks[chunks.push(Buffer.from(chunk as Uint8Array)) - 1]?.length ?? 0;
    if (length > maxKeysBytes) throw new CommandError(`Cannot read the key: it is longer than ${maxKeysBytes} bytes`);
  }
  return Buffer.concat(chunks).toString();
}
