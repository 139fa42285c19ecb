/**
 * The calls on agents.
 * @module
 */
import type { Schema } from '../base/parse.ts';
import { json } from '../http/reply.ts';
import { type Route, route } from '../http/route.ts';
import { type ChangeTaken, type ElicitationTaken, type PermissionTaken, type PromptTaken, type TurnCancelled, changeRequest, elicitationRequest, permissionRequest, promptRequest } from '../protocol/agents.ts';
import { noBody } from '../protocol/jobs.ts';
import type { ProblemCode } from '../protocol/problem.ts';
import type { Agents } from './agents.ts';

const text = { type: 'string' };
const agentSchema: Schema = {
  type: 'object',
  properties: {
    name: { ...text, description: 'What it is asked for by; of several of one name the first that is installed is meant' },
    title: text,
    command: { type: 'array', items: text, description: 'What starts it' },
    packageName: { ...text, description: 'Of npm' },
    installed: { type: 'boolean' },
    path: { type: ['string', 'null'], description: 'Of its program' },
  },
};
const headers = { 'Idempotency-Key': 'The same key and request again: the first answer again, and nothing happens.' };
const problems: readonly ProblemCode[] = ['job_not_found', 'not_an_agent', 'job_not_running', 'stdin_full', 'unavailable', 'idempotency_mismatch'];

function answer(description: string, properties: { readonly [name: string]: Schema }): { description: string; schema: Schema } {
  return { description, schema: { type: 'object', properties } };
}

export function agentRoutes(agents: Agents): Route[] {
  return [
    route('GET', '/agents', {
      documentation: {
        summary: 'Lists the agents that can be asked for by name, and which of them this machine has',
        answers: { 200: answer('The agents', { agents: { type: 'array', items: agentSchema }, defaultAgent: text }) },
      },
    }, () => json(200, agents.list())),

    route('PATCH', '/jobs/:id', {
      body: changeRequest,
      documentation: {
        summary: 'Changes the mode, model, effort and permissions of an agent that lives',
        description: 'Also in the middle of a turn. Where the agent has no such mode or model, nothing changes, and the problem names what it has. '
          + 'The permissions hold for all that is decided from then on.',
        headers,
        answers: { 200: answer('What was changed, by the ids of the agent', {
          jobId: text, agentMode: text, model: text, effort: text, permissions: { description: 'As given' },
        }) },
        problems: [...problems, 'config_not_supported', 'agent_error', 'not_supported'],
      },
    }, async (request) => {
      const { params: { id }, body } = request;
      return json(200, await agents.once(id, request, 'PATCH', async (sameId): Promise<ChangeTaken> => ({ jobId: id, ...await agents.change(id, body, sameId) })));
    }),

    route('POST', '/jobs/:id/prompt', {
      body: promptRequest,
      documentation: {
        summary: 'Goes on with an agent: another turn of the same process',
        description: 'While the agent of the job lives, see keepAlive. Where it is at a turn, the prompt waits for its end.',
        headers,
        answers: { 202: answer('The prompt is taken', { jobId: text, turn: { type: 'integer', description: 'Its number, from 1' } }) },
        problems: [...problems, 'too_many_prompts'],
      },
    }, async (request) => {
      const { params: { id }, body } = request;
      return json(202, await agents.once(id, request, 'prompt', async (sameId): Promise<PromptTaken> => ({ jobId: id, turn: await agents.prompt(id, body.prompt, sameId) })));
    }),

    route('POST', '/jobs/:id/prompt/cancel', {
      body: noBody,
      documentation: {
        summary: 'Ends the turn that an agent is at',
        description: 'By session/cancel. The turn stops with `cancelled`; with keepAlive the agent then waits for another prompt.',
        headers,
        answers: { 200: answer('Whether there was a turn', { cancelled: { type: 'boolean' } }) },
        problems,
      },
    }, async (request) => json(200, await agents.once(request.params.id, request, 'prompt/cancel', async (): Promise<TurnCancelled> =>
      ({ cancelled: await agents.cancelTurn(request.params.id) })))),

    route('POST', '/jobs/:id/permissions/:permissionId', {
      body: permissionRequest,
      documentation: {
        summary: 'Answers what an agent asks permission for',
        description: 'Of the options that the pending permission of the job shows.',
        headers,
        answers: { 200: answer('The agent was told', { permissionId: text, optionId: text }) },
        problems: [...problems, 'permission_not_found'],
      },
    }, async (request) => {
      const { params: { id, permissionId }, body: { optionId } } = request;
      return json(200, await agents.once(id, request, `permissions/${permissionId}`, async (): Promise<PermissionTaken> => {
        await agents.permit(id, { permissionId, optionId });
        return { permissionId, optionId };
      }));
    }),

    route('POST', '/jobs/:id/elicitations/:elicitationId', {
      body: elicitationRequest,
      documentation: {
        summary: 'Answers a question of an agent',
        description: 'With `content` as the requestedSchema of the pending elicitation wants it. For jobs with `elicitation`.',
        headers,
        answers: { 200: answer('The agent was told', { elicitationId: text, action: text }) },
        problems: [...problems, 'elicitation_not_found'],
      },
    }, async (request) => {
      const { params: { id, elicitationId }, body: { action, content } } = request;
      return json(200, await agents.once(id, request, `elicitations/${elicitationId}`, async (): Promise<ElicitationTaken> => {
        await agents.answer(id, elicitationId, action === 'accept' && content !== undefined ? { action, content } : { action });
        return { elicitationId, action };
      }));
    }),
  ];
}
