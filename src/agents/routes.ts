/**
 * The routes of agents.
 * @module
 */
import { type Reply, json, stream } from '../http/routing/reply.ts';
import { type Route, bind } from '../http/routing/route.ts';
import type { ChangeTaken, ElicitationTaken, PermissionTaken, TurnCancelled } from '../protocol/agents/calls.ts';
import { pathOf } from '../protocol/endpoint.ts';
import {
  answerElicitation, answerPermission, cancelTurn, changeAgent, getTurn, installAgent, listAgents, listTurns,
  promptAgent,
} from '../protocol/endpoints/agents.ts';
import { getJob } from '../protocol/endpoints/jobs.ts';
import type { Accepted } from '../protocol/jobs/job.ts';
import type { Agents } from './server/agents.ts';
import type { WholeTurn } from './server/turns.ts';

export function agentRoutes(agents: Agents): Route[] {
  return [
    bind(listAgents, () => json(200, agents.catalog.list())),

    bind(changeAgent, async (request) => {
      const { params: { id }, body } = request;
      return json(200, await agents.once(id, request, 'PATCH', async (sameId): Promise<ChangeTaken> =>
        ({ jobId: id, ...await agents.change(id, body, sameId) })));
    }),

    bind(listTurns, async ({ params, query }) => json(200, { turns: await agents.turns(params.id, query) })),

    bind(getTurn, async ({ params }) => turnReply(await agents.turn(params.id, params.turn))),

    bind(installAgent, async (request) => {
      const jobId = await agents.catalog.install(request.params.name, request.body, request);
      const body: Accepted = { jobId, status: 'pending' };
      return json(202, body, { Location: pathOf(getJob, { id: jobId }) });
    }),

    bind(promptAgent, async (request) => {
      const { params: { id }, body } = request;
      return json(202, await agents.once(id, request, 'prompt', (sameId) =>
        agents.prompts.give(id, body.prompt, sameId)));
    }),

    bind(cancelTurn, async (request) => json(200, await agents.once(
      request.params.id,
      request,
      'prompt/cancel',
      async (): Promise<TurnCancelled> => ({ cancelled: await agents.cancelTurn(request.params.id) }),
    ))),

    bind(answerPermission, async (request) => {
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

    bind(answerElicitation, async (request) => {
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
