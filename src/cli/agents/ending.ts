/**
 * How an agent's work ended: the exit code, and what to do after a failure.
 * @module
 */
import { fieldsOf } from '../../base/loose.ts';
import { shellWord } from '../../base/text/shell-word.ts';
import { type AgentError, type Job, ProblemError, isFinished } from '../../client/client.ts';
import { printEnd } from '../follow/follow-job.ts';
import { exitCodes } from '../failure.ts';
import { interruptedExitCode } from '../follow/interrupts.ts';
import { oneLine, printMessage } from '../io/print.ts';
import { writeStderr } from '../io/streams.ts';

/** Last lines of the agent's stderr that are shown after a failure. */
const maxErrorLines = 8;
/** Errors about which the agent itself may have written more to stderr. */
const codesWithStderr: ReadonlySet<string> = new Set([
  'not_started', 'agent_ended', 'no_answer', 'bad_answer', 'runner_ended',
]);

/** @param job The job after the turn: finished, or waiting for another prompt. */
export function agentExitCode(job: Job, { isInterrupted }: { readonly isInterrupted: boolean }): number {
  if (job.reason === 'timeout') return exitCodes.timeout;
  if (isInterrupted && (job.stopReason === 'cancelled' || job.reason === 'cancelled')) return interruptedExitCode;
  if (isFinished(job) && job.status !== 'completed') return exitCodes.failure;
  return job.stopReason === 'end_turn' || job.stopReason === 'no_prompt' ? exitCodes.ok : exitCodes.failure;
}

/** Says on stderr what the exit code does not tell. */
export function printAgentEnd(job: Job): void {
  const { acpError, stopReason, stderr } = job;
  if (acpError) {
    printMessage(acpError.message);
    // The server appends the same sentence to what the agent wrote.
    const own = (stderr ?? '').trimEnd();
    const ofAgent = own.endsWith(acpError.message) ? own.slice(0, -acpError.message.length) : own;
    const lastLines = codesWithStderr.has(acpError.code) ? ofAgent.trimEnd().split('\n').slice(-maxErrorLines) : [];
    for (const line of lastLines) {
      if (line !== '') writeStderr(`  ${oneLine(line)}\n`);
    }
    for (const hint of hintsFor(acpError, job.agent ?? 'AGENT')) printMessage(hint);
  } else if (job.reason !== 'exit' && job.reason !== null) {
    printEnd(job);
  } else if (
    stopReason !== null && stopReason !== undefined && stopReason !== 'end_turn' && stopReason !== 'no_prompt'
  ) {
    printMessage(stopInWords(stopReason));
  }
}

function stopInWords(stopReason: string): string {
  switch (stopReason) {
    case 'cancelled': return 'the turn was cancelled';
    case 'max_tokens': return 'the turn was ended: the agent has used all the tokens that it may (max_tokens)';
    case 'max_turn_requests':
      return 'the turn was ended: the agent has asked its model as often as it may (max_turn_requests)';
    case 'refusal': return 'the agent refuses to continue (refusal)';
    default: return `the turn has stopped: ${stopReason}`;
  }
}

function hintsFor({ code, details }: AgentError, agent: string): readonly string[] {
  switch (code) {
    case 'auth_required': {
      const all = methodsIn(details);
      const methods = all.filter(({ argv }) => argv === undefined);
      const terminal = all.filter(({ argv }) => argv !== undefined);
      const own = 'log in with the program of the agent itself, on that machine, as the user that runs the server';
      return [
        ...(methods.length === 0 ? [] : [
          'by one of these:',
          ...methods.map(({ id, name }) => `  --auth-method ${id}${name === '' ? '' : `   ${name}`}`),
        ]),
        ...terminal.map(({ id, name }) => `in a terminal: ${loginLine(agent, id)}${name === '' ? '' : `   ${name}`}`),
        all.length === 0 ? own : `or ${own}`,
      ];
    }
    case 'auth_failed': return ['without --auth-method it tells which ones there are'];
    case 'not_started': return ['which agents there are, and how to install them: sidecar agents'];
    case 'config_not_supported': return ['to continue without it: --config-optional'];
    case 'permission_denied':
      return ['without --on-denied fail it continues; what it may do: --permissions and --rule'];
    case 'policy_not_supported': return ['to continue all the same: --trust-agent, or --permissions all'];
    case 'resume_not_supported': return ['without --session or --on it begins a new one'];
    case 'content_not_supported': return ['name the file in the prompt instead of --attach: the agent can read it'];
    default: return [];
  }
}

function loginLine(agent: string, method: string): string {
  return `sidecar agents login ${shellWord(agent)} --auth-method ${shellWord(method)}`;
}

/** A way to log in. With `argv`, that program logs in, in a terminal. */
export interface LoginMethod {
  readonly id: string;
  readonly name: string;
  readonly argv?: readonly string[];
  readonly env?: { readonly [name: string]: string };
}

/** @param details The details of an error `auth_required`. */
export function methodsIn(details: AgentError['details']): readonly LoginMethod[] {
  const { authMethods } = details;
  if (!Array.isArray(authMethods)) return [];
  return authMethods.flatMap((method: unknown) => {
    const { id, name, argv, env } = fieldsOf(method);
    if (typeof id !== 'string') return [];
    const program = Array.isArray(argv) && argv.every((word) => typeof word === 'string') && argv.length > 0
      ? { argv, env: fieldsOf(env) as NonNullable<LoginMethod['env']> } : {};
    return [{ id: oneLine(id), name: typeof name === 'string' ? oneLine(name) : '', ...program }];
  });
}

/** The request needs no answer any more: it is decided, or its job has ended or is deleted. */
export function isAlreadyDecided(error: unknown): boolean {
  return error instanceof ProblemError
    && ['permission_not_found', 'elicitation_not_found', 'job_not_running', 'job_not_found'].includes(error.code);
}
