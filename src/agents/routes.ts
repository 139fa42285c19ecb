/**
 * The endpoints for agents.
 * @module
 */
import type { Schema } from '../base/parse.ts';
import { type Reply, json, stream } from '../http/routing/reply.ts';
import { type Route, route } from '../http/routing/route.ts';
import {
  type ChangeTaken, type ElicitationTaken, type PermissionTaken, type TurnCancelled, changeRequest, elicitationRequest,
  permissionRequest, promptRequest, turnsQuery,
} from '../protocol/agents.ts';
import { type Accepted, noBody } from '../protocol/jobs.ts';
import { installRequest } from '../protocol/agent-installs.ts';
import type { ProblemCode } from '../protocol/problem.ts';
import { turnSchema } from '../protocol/turn-schema.ts';
import type { Agents } from './server/agents.ts';
import type { WholeTurn } from './server/turns.ts';

const text = { type: 'string' };
const agentSchema: Schema = {
  type: 'object',
  properties: {
    name: {
      ...text,
      description: 'What it is asked for by; of several of one name the first that is installed is meant',
    },
    title: text,
    command: { type: 'array', items: text, description: 'What starts it' },
    packageName: { ...text, description: 'Of npm' },
    installed: { type: 'boolean' },
    path: { type: ['string', 'null'], description: 'Of its program' },
    version: { type: ['string', 'null'], description: 'Where POST /agents/{name}/install has installed it' },
  },
};
const headers = { 'Idempotency-Key': 'The same key and request again: the first answer again, and nothing happens.' };
const problems: readonly ProblemCode[] = [
  'job_not_found', 'not_an_agent', 'job_not_running', 'stdin_full', 'unavailable', 'idempotency_mismatch',
];

function answer(
  description: string,
  properties: { readonly [name: string]: Schema },
): { description: string; schema: Schema } {
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
        description: 'Also in the middle of a turn. Where the agent has no such mode or model, nothing changes, and '
          + 'the problem names what it has. The permissions hold for all that is decided from then on.',
        headers,
        answers: { 200: answer('What was changed, by the ids of the agent', {
          jobId: text, agentMode: text, model: text, effort: text, permissions: { description: 'As given' },
        }) },
        problems: [...problems, 'config_not_supported', 'agent_error', 'not_supported'],
      },
    }, async (request) => {
      const { params: { id }, body } = request;
      return json(200, await agents.once(id, request, 'PATCH', async (sameId): Promise<ChangeTaken> =>
        ({ jobId: id, ...await agents.change(id, body, sameId) })));
    }),

    route('GET', '/jobs/:id/turns', {
      query: turnsQuery,
      documentation: {
        summary: 'Lists the last turns of an agent, in their order',
        description: 'With how their texts begin.',
        answers: { 200: answer('The turns', { turns: { type: 'array', items: turnSchema } }) },
        problems: ['job_not_found', 'not_an_agent'],
      },
    }, async ({ params, query }) => json(200, { turns: await agents.turns(params.id, query) })),

    route('GET', '/jobs/:id/turns/:turn', {
      documentation: {
        summary: 'Shows a turn of an agent with its whole text',
        description: 'Of one that runs, with its text so far.',
        answers: { 200: { description: 'The turn', schema: turnSchema } },
        problems: ['job_not_found', 'not_an_agent', 'turn_not_found'],
      },
    }, async ({ params }) => turnReply(await agents.turn(params.id, params.turn))),

    route('POST', '/agents/:name/install', {
      body: installRequest,
      documentation: {
        summary: 'Installs an agent, as a job',
        description: 'From npm, PyPI or an archive whose SHA-256 is right, into the state directory. The output says '
          + 'how it goes. Once the job is completed the agent is asked for by that name.',
        headers,
        answers: { 202: answer('The job', { jobId: text, status: { const: 'pending' } }) },
        problems: [
          'not_supported', 'too_many_jobs', 'storage_full', 'unavailable', 'shutting_down', 'idempotency_mismatch',
        ],
      },
    }, async (request) => {
      const jobId = await agents.install(request.params.name, request.body, request);
      const body: Accepted = { jobId, status: 'pending' };
      return json(202, body, { Location: `/jobs/${jobId}` });
    }),

    route('POST', '/jobs/:id/prompt', {
      body: promptRequest,
      documentation: {
        summary: 'Continues with an agent: another turn',
        description: 'Of the same process, while that lives, see keepAlive. Where it is at a turn, the prompt waits '
          + 'for its end. Where it has ended, a new job continues its session: the same request, with what PATCH has '
          + 'changed; it fails with resume_not_supported where the agent cannot do that. Its id is `jobId`, and a '
          + 'prompt to either job goes to the last one from then on.',
        headers,
        answers: { 202: answer('The prompt is taken', {
          jobId: text, turn: { type: 'integer', description: 'Its number within the job, from 1' },
          continues: { ...text, description: 'The job whose session `jobId` continues' },
          keepAlive: { type: 'number', description: 'Of a new job: seconds that its agent waits for another prompt' },
        }) },
        problems: [...problems, 'too_many_prompts', 'too_many_jobs', 'storage_full', 'shutting_down'],
      },
    }, async (request) => {
      const { params: { id }, body } = request;
      return json(202, await agents.once(id, request, 'prompt', (sameId) => agents.prompt(id, body.prompt, sameId)));
    }),

    route('POST', '/jobs/:id/prompt/cancel', {
      body: noBody,
      documentation: {
        summary: 'Ends the turn that an agent is at',
        description: 'By session/cancel. The turn stops with `cancelled`; with keepAlive the agent then waits for '
          + 'another prompt.',
        headers,
        answers: { 200: answer('Whether there was a turn', { cancelled: { type: 'boolean' } }) },
        problems,
      },
    }, async (request) => json(200, await agents.once(
      request.params.id,
      request,
      'prompt/cancel',
      async (): Promise<TurnCancelled> => ({ cancelled: await agents.cancelTurn(request.params.id) }),
    ))),

    route('POST', '/jobs/:id/permissions/:permissionId', {
      body: permissionRequest,
      documentation: {
        summary: 'Answers what an agent asks permission for',
        description: 'By one of the options that the pending permission shows, or by a decision, which may hold '
          + 'longer.',
        headers,
        answers: {
          200: answer('The agent was told', { permissionId: text, optionId: text, decision: text, remember: text }),
        },
        problems: [...problems, 'permission_not_found'],
      },
    }, async (request) => {
      const { params: { id, permissionId }, body } = request;
      return json(200, await agents.once(
        id,
        request,
        `permissions/${permissionId}`,
        async (): Promise<PermissionTaken> => {
          await agents.permit(id, permissionId, body);
          return { permissionId, ...body };
        },
      ));
    }),

    route('POST', '/jobs/:id/elicitations/:elicitationId', {
      body: elicitationRequest,
      documentation: {
        summary: 'Answers a question of an agent',
        description: 'With `content` as the requestedSchema of the pending elicitation wants it. For jobs with '
          + '`elicitation`.',
        headers,
        answers: { 200: answer('The agent was told', { elicitationId: text, action: text }) },
        problems: [...problems, 'elicitation_not_found'],
      },
    }, async (request) => {
      const { params: { id, elicitationId }, body: { action, content } } = request;
      return json(200, await agents.once(
        id,
        request,
        `elicitations/${elicitationId}`,
        async (): Promise<ElicitationTaken> => {
          await agents.answer(
            id,
            elicitationId,
            action === 'accept' && content !== undefined ? { action, content } : { action },
          );
          return { elicitationId, action };
        },
      ));
    }),
  ];
}

/** A long text is never held in memory as a whole. */
function turnReply({ turn, text: rest }: WholeTurn): Reply {
  if (!rest) return json(200, turn);
  const { text: _, isTextCut: __, ...others } = turn;
  return stream(200, { 'Content-Type': 'application/json' }, async (sink) => {
    await sink.write(`${JSON.stringify(others).slice(0, -1)},"text":"`);
    const isTextCut = await rest.write((piece) => sink.write(JSON.stringify(piece).slice(1, -1)));
    await sink.write(`","isTextCut":${isTextCut}}`);
  });
}
