/**
 * Makes the failure of an agent from an error of the conversation with it.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { truncate, truncateJson } from '../../base/text/truncate.ts';
import { FramingError } from '../../jsonrpc/framing.ts';
import { RpcError } from '../../jsonrpc/message.ts';
import { AgentFailure } from './agent-failure.ts';
import type { AgentExit } from './agent-process.ts';
import { maxMessageCharacters } from './checks.ts';
import { type LoginProgram, describeMethods, listMethods } from './login.ts';
import { type AuthMethod, acpCodes } from './v1.ts';

/** For the process to exit once nothing more can come from it. */
const exitMs = 1000;
/** Limit of the data of an agent's error, as JSON. */
const maxDetailCharacters = 65_536;

export interface FailureContext {
  readonly authMethods: readonly AuthMethod[];
  readonly login: LoginProgram | undefined;
  /** Resolves once the agent's process has ended. Absent: its exit is not known. */
  readonly exited: Promise<AgentExit> | undefined;
}

/** @param method The request that failed. */
export async function toAgentFailure(method: string, error: Error, context: FailureContext): Promise<AgentFailure> {
  if (error instanceof RpcError) return failureOfError(method, error, context);
  if (error.name === 'TimeoutError') {
    return new AgentFailure('no_answer', `The agent has not answered ${method} in time`, { cause: error });
  }
  if (error instanceof FramingError) {
    const message = `Cannot understand the agent at ${method}: ${error.message}`;
    return new AgentFailure('bad_answer', message, { cause: error });
  }
  return await failureOfEnd(`The agent has ended at ${method}: ${error.message}`, context.exited, { cause: error });
}

/** The failure of an agent that has ended. @param message Continued with how its process exited, if that is known. */
export async function failureOfEnd(
  message: string, exited: Promise<AgentExit> | undefined, options: { readonly cause?: unknown } = {},
): Promise<AgentFailure> {
  const exit = await exitWithin(exited);
  if (exit === undefined) return new AgentFailure('agent_ended', message, { ...options, details: {} });
  const { code: exitCode, signal } = exit;
  const how = signal === null ? `it exited with code ${exitCode}` : `it was ended by ${signal}`;
  return new AgentFailure('agent_ended', `${message}; ${how}`, { ...options, details: { exitCode, signal } });
}

/** The agent's error may be of any length; what is reported of it is limited. */
export function failureOfError(
  method: string, error: RpcError, { authMethods, login }: Pick<FailureContext, 'authMethods' | 'login'>,
): AgentFailure {
  const { code, data } = error;
  const message = truncate(error.message, maxMessageCharacters);
  if (code === acpCodes.authRequired) {
    const ways = describeMethods(authMethods, login);
    return new AgentFailure(
      'auth_required',
      `Cannot continue: the agent requires a login (${message}); it has ${ways}`,
      { cause: error, details: { authMethods: listMethods(authMethods, login) } },
    );
  }
  const details = { code, ...(data === undefined ? {} : { data: truncateJson(data, maxDetailCharacters) }) };
  return new AgentFailure('agent_error', `The agent failed at ${method}: ${message}`, { cause: error, details });
}

/** Returns `undefined` if the process still runs after {@link exitMs}, or its exit is not known. */
async function exitWithin(exited: Promise<AgentExit> | undefined): Promise<AgentExit | undefined> {
  if (!exited) return undefined;
  const controller = new AbortController();
  const timeout = sleep(exitMs, undefined, { signal: controller.signal }).catch(() => undefined);
  const exit = await Promise.race([exited, timeout]);
  controller.abort();
  return exit;
}
