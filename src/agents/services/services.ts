/**
 * The requests of an agent to its client by the Agent Client Protocol, beside permissions: files and commands.
 * @module
 */
import { type Parsed, type Parser, ParseError, array, fieldsOf, integer, optional, text } from '../../base/parse.ts';
import { RpcError, rpcCodes } from '../../jsonrpc/message.ts';
import type { RequestContext } from '../../jsonrpc/peer.ts';
import type { PermissionQuestion } from '../permissions/policy.ts';
import type { CommandRequest, CommandsHost } from './commands.ts';
import type { AgentFiles } from './files.ts';
import { commandQuestion, readQuestion, writeQuestion } from './service-question.ts';

export interface Services {
  readonly files: AgentFiles;
  readonly commands: CommandsHost;
}

/** One request of an agent, parsed and checked. */
export interface ServiceCall {
  /**
   * The question of a permission for the request; `undefined` if it needs none, because it is about a command that was
   * started before.
   */
  readonly question: PermissionQuestion | undefined;
  /** Characters that the request holds in memory while its permission is pending. */
  readonly heldCharacters: number;
  readonly run: (services: Services, context: RequestContext) => Promise<unknown>;
}

type Service = (params: unknown) => ServiceCall;

const any = text();
const content = text({ allowNul: true });
const path = text({ min: 1, max: 65_536 });
const count = integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const ofCommand = fieldsOf({ terminalId: any });
const variable = fieldsOf({ name: text({ min: 1, max: 4096 }), value: any });
const newCommand = fieldsOf({
  command: text({ min: 1, max: 2 ** 20 }),
  args: optional(array(any, { max: 10_000 })),
  cwd: optional(path),
  outputByteLimit: optional(count),
  env: optional(array(variable, { max: 10_000 })),
});

/** The services by method. To agents, null and absent are the same. */
const services: { readonly [method: string]: Service } = {
  'fs/read_text_file': service(
    fieldsOf({ path, line: optional(count), limit: optional(count) }),
    ({ files }, { path: wanted, line, limit }, { oneAtATime }) =>
      oneAtATime(async () => ({ content: await files.read(wanted, { line, limit }) })),
    ({ path: wanted }) => readQuestion(wanted),
  ),
  'fs/write_text_file': service(
    fieldsOf({ path, content }),
    async ({ files }, { path: wanted, content: wantedText }) => {
      await files.write(wanted, wantedText);
      return {};
    },
    ({ path: wanted }) => writeQuestion(wanted),
    ({ content: { length } }) => length,
  ),
  'terminal/create': service(
    newCommand,
    async ({ commands }, request) => ({ terminalId: await commands.create(commandOf(request)) }),
    (request) => commandQuestion(commandOf(request)),
  ),
  'terminal/output': service(
    ofCommand,
    ({ commands }, { terminalId }, { oneAtATime }) => oneAtATime(() => commands.output(terminalId)),
  ),
  'terminal/wait_for_exit': service(
    ofCommand,
    ({ commands }, { terminalId }, { signal }) => commands.waitForExit(terminalId, signal),
  ),
  'terminal/kill': service(ofCommand, async ({ commands }, { terminalId }) => {
    await commands.kill(terminalId);
    return {};
  }),
  'terminal/release': service(ofCommand, async ({ commands }, { terminalId }) => {
    await commands.release(terminalId);
    return {};
  }),
};

/**
 * The permission is decided on the same parsed parameters that then run.
 * @throws RpcError -32601 for a method that is not served, -32602 for parameters that cannot be read.
 */
export function readService(method: string, params: unknown): ServiceCall {
  const found = Object.hasOwn(services, method) ? services[method] : undefined;
  if (!found) throw new RpcError(rpcCodes.methodNotFound, `Method not found: ${method}`);
  return found(params);
}

/** Runs a request without a permission. @throws RpcError as {@link readService}, or that of the service. */
export async function serve(by: Services, method: string, params: unknown, context: RequestContext): Promise<unknown> {
  return await readService(method, params).run(by, context);
}

function service<T>(
  parse: Parser<T>, run: (services: Services, params: T, context: RequestContext) => Promise<unknown>,
  questionOf: (params: T) => PermissionQuestion | undefined = () => undefined, heldBy: (params: T) => number = () => 0,
): Service {
  return (given) => {
    const params = parseParams(parse, given);
    return {
      question: questionOf(params), heldCharacters: heldBy(params), run: (by, context) => run(by, params, context),
    };
  };
}

function commandOf({ env = [], ...request }: Parsed<typeof newCommand>): CommandRequest {
  return { ...request, env: Object.fromEntries(env.map(({ name, value }) => [name, value])) };
}

function parseParams<T>(parse: Parser<T>, params: unknown): T {
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
