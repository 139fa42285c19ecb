/**
 * What an agent may ask of its client by the Agent Client Protocol, beside permissions: files and commands.
 * @module
 */
import { type Parser, ParseError, array, fieldsOf, integer, optional, text } from '../base/parse.ts';
import { RpcError, rpcCodes } from '../jsonrpc/message.ts';
import type { Asked } from '../jsonrpc/peer.ts';
import type { CommandsHost } from './commands.ts';
import type { AgentFiles } from './files.ts';

export interface Services {
  readonly files: AgentFiles;
  readonly commands: CommandsHost;
}

type Service = (services: Services, params: unknown, asked: Asked) => Promise<unknown>;

const any = text();
const content = text({ allowNul: true });
const path = text({ min: 1, max: 65_536 });
const count = integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const ofCommand = fieldsOf({ terminalId: any });

/** By method. Null and absent are the same to agents. */
const services: { readonly [method: string]: Service } = {
  'fs/read_text_file': service(fieldsOf({ path, line: optional(count), limit: optional(count) }), ({ files }, { path: wanted, line, limit }, { inTurn }) =>
    inTurn(async () => ({ content: await files.read(wanted, { line, limit }) }))),
  'fs/write_text_file': service(fieldsOf({ path, content }), async ({ files }, { path: wanted, content: wantedText }) => {
    await files.write(wanted, wantedText);
    return {};
  }),
  'terminal/create': service(
    fieldsOf({
      command: text({ min: 1, max: 2 ** 20 }), args: optional(array(any, { max: 10_000 })), cwd: optional(path), outputByteLimit: optional(count),
      env: optional(array(fieldsOf({ name: text({ min: 1, max: 4096 }), value: any }), { max: 10_000 })),
    }),
    async ({ commands }, { env = [], ...request }) =>
      ({ terminalId: await commands.create({ ...request, env: Object.fromEntries(env.map(({ name, value }) => [name, value])) }) }),
  ),
  'terminal/output': service(ofCommand, ({ commands }, { terminalId }, { inTurn }) => inTurn(() => commands.output(terminalId))),
  'terminal/wait_for_exit': service(ofCommand, ({ commands }, { terminalId }, { signal }) => commands.waitForExit(terminalId, signal)),
  'terminal/kill': service(ofCommand, async ({ commands }, { terminalId }) => {
    await commands.kill(terminalId);
    return {};
  }),
  'terminal/release': service(ofCommand, async ({ commands }, { terminalId }) => {
    await commands.release(terminalId);
    return {};
  }),
};

/** @throws RpcError -32601 what nobody serves, -32602 what cannot be read, or as the service says. */
export async function serve(by: Services, method: string, params: unknown, asked: Asked): Promise<unknown> {
  const found = Object.hasOwn(services, method) ? services[method] : undefined;
  if (!found) throw new RpcError(rpcCodes.methodNotFound, `Method not found: ${method}`);
  return await found(by, params, asked);
}

function service<T>(parse: Parser<T>, run: (services: Services, params: T, asked: Asked) => Promise<unknown>): Service {
  return async (by, params, asked) => run(by, parsed(parse, params), asked);
}

function parsed<T>(parse: Parser<T>, params: unknown): T {
  try {
    return parse(withoutNull(params), 'params');
  } catch (error) {
    if (error instanceof ParseError) throw new RpcError(rpcCodes.invalidParams, error.message, { cause: error });
    throw error;
  }
}

function withoutNull(params: unknown): unknown {
  if (typeof params !== 'object' || params === null || Array.isArray(params)) return params;
  return Object.fromEntries(Object.entries(params).filter(([, value]) => value !== null));
}
