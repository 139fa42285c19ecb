/**
 * Requests to install an agent. Entries are those of the public registry of the Agent Client Protocol
 * (https://github.com/agentclientprotocol/registry, FORMAT.md and agent.schema.json).
 * @module
 */
import { type Parser, array, described, fieldsOf, object, oneOf, optional, record, text } from '../../base/parse.ts';

/** Names by which an agent can be installed and requested. */
export const agentNamePattern: RegExp = /^[a-z][a-z0-9-]{0,63}$/;

interface Started {
  readonly args?: readonly string[] | undefined;
  readonly env?: { readonly [name: string]: string } | undefined;
}

/** `cmd`: the package's program. Default: the choice of npx or uvx. */
export interface PackageDistribution extends Started {
  readonly package: string;
  readonly cmd?: string | undefined;
}

/** `cmd`: the program, by its path in the archive. */
export interface ArchiveDistribution extends Started {
  readonly archive: string;
  readonly sha256?: string | undefined;
  readonly cmd: string;
}

/** An entry of `agent.json`, or of the `agents` in `registry.json`. */
export interface AgentEntry {
  readonly name?: string | undefined;
  readonly version?: string | undefined;
  readonly distribution: {
    readonly npx?: PackageDistribution | undefined;
    readonly uvx?: PackageDistribution | undefined;
    /** By platform: `linux-x86_64`, `darwin-aarch64`, … */
    readonly binary?: { readonly [platform: string]: ArchiveDistribution } | undefined;
  };
}

const word = text({ min: 1, max: 4096 });
const args = optional(array(text({ max: 65_536 }), { max: 100 }));
const env = optional(record(word, text({ max: 65_536 }), { max: 100 }));
/** Rejects flags, paths and addresses: only what a package manager takes for a package of its registry. */
const npmPackage = text({
  max: 300, pattern: /^(?:@[\w~-][\w.~-]*\/)?\w[\w.~-]*(?:@[\w.^~+-]+)?$/,
  expected: 'a package of npm, as NAME or NAME@VERSION',
});
const pythonPackage = text({
  max: 300, pattern: /^[A-Za-z0-9][\w.-]*(?:\[[\w,-]+\])?(?:(?:==|@)[\w.+-]+)?$/,
  expected: 'a package of PyPI, as NAME, NAME@VERSION or NAME==VERSION',
});
const cmd = optional(text({ min: 1, max: 1000 }));
const archive = fieldsOf({
  archive: text({ min: 1, max: 16_384, pattern: /^https?:\/\//, expected: 'an http or https URL' }),
  sha256: optional(text({ pattern: /^[0-9A-Fa-f]{64}$/, expected: '64 hexadecimal digits' })),
  cmd: text({ min: 1, max: 1000 }), args, env,
});
const distribution = fieldsOf({
  npx: optional(fieldsOf({ package: npmPackage, cmd, args, env })),
  uvx: optional(fieldsOf({ package: pythonPackage, cmd, args, env })),
  binary: optional(record(word, archive, { max: 20 })),
});
const entry: Parser<AgentEntry> = fieldsOf({
  name: optional(word), version: optional(text({ min: 1, max: 100 })), distribution,
});

/** In the order in which they are tried. */
export const installKinds = ['npx', 'uvx', 'binary'] as const;
export type InstallKind = (typeof installKinds)[number];

export const installRequest: Parser<InstallRequest> = object({
  version: described('Of the package. Default: the newest, or that of the entry.', optional(text({
    max: 100, pattern: /^\w[\w.+-]*$/, expected: 'a version or a tag',
  }))),
  kind: described('npx (of npm), uvx (of PyPI) or binary. Default: the first that entry and machine have.',
    optional(oneOf(...installKinds))),
  entry: described('An entry of an ACP registry. Default: what the server knows of that name.', optional(entry)),
});

export interface InstallRequest {
  readonly version?: string | undefined;
  readonly kind?: InstallKind | undefined;
  readonly entry?: AgentEntry | undefined;
}
