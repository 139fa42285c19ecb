/**
 * The calls of agents.
 * @module
 */
import { turn, turnList } from '../agents/job-answers.ts';
import { installRequest } from '../agents/install-requests.ts';
import {
  changeRequest, changeTaken, elicitationRequest, elicitationTaken, permissionRequest, permissionTaken, promptRequest,
  promptTaken, turnCancelled, turnsQuery,
} from '../agents/calls.ts';
import { agentList } from '../agents/listing.ts';
import { endpoint } from '../endpoint.ts';
import { accepted } from '../jobs/answers.ts';
import { emptyBody } from '../jobs/queries.ts';
import type { ProblemCode } from '../problem.ts';

const problems: readonly ProblemCode[] = [
  'job_not_found', 'not_an_agent', 'job_not_running', 'stdin_full', 'unavailable',
];

export const listAgents = endpoint('GET', '/agents', {
  summary: 'Lists the agents that can be asked for by name, and which of them this machine has',
  answers: { 200: { description: 'The agents', body: agentList } },
});

export const changeAgent = endpoint('PATCH', '/jobs/:id', {
  summary: 'Changes the mode, model, effort and permissions of an agent that lives',
  description: 'Also in the middle of a turn. Where the agent has no such mode or model, nothing changes, and '
    + 'the problem names what it has. The permissions hold for all that is decided from then on.',
  body: changeRequest,
  example: { permissions: 'ask' },
  isIdempotent: true,
  answers: { 200: { description: 'What was changed, by the ids of the agent', body: changeTaken } },
  problems: [...problems, 'config_not_supported', 'agent_error', 'not_supported'],
});

export const listTurns = endpoint('GET', '/jobs/:id/turns', {
  summary: 'Lists the last turns of an agent, in their order',
  description: 'With how their texts begin.',
  query: turnsQuery,
  answers: { 200: { description: 'The turns', body: turnList } },
  problems: ['job_not_found', 'not_an_agent'],
});

export const getTurn = endpoint('GET', '/jobs/:id/turns/:turn', {
  summary: 'Shows a turn of an agent with its whole text',
  description: 'Of one that runs, with its text so far.',
  answers: { 200: { description: 'The turn', body: turn } },
  problems: ['job_not_found', 'not_an_agent', 'turn_not_found'],
});

export const installAgent = endpoint('POST', '/agents/:name/install', {
  summary: 'Installs an agent, as a job',
  description: 'From npm, PyPI or an archive whose SHA-256 is right, into the state directory. The output says '
    + 'how it goes. Once the job is completed the agent is asked for by that name.',
  body: installRequest,
  isIdempotent: true,
  answers: { 202: { description: 'The job', body: accepted } },
  problems: ['not_supported', 'too_many_jobs', 'storage_full', 'unavailable', 'shutting_down'],
});

export const promptAgent = endpoint('POST', '/jobs/:id/prompt', {
  summary: 'Continues with an agent: another turn',
  description: 'Of the same process, while that lives, see keepAlive. Where it is at a turn, the prompt waits '
    + 'for its end. Where it has ended, a new job continues its session: the same request, with what PATCH has '
    + 'changed; it fails with resume_not_supported where the agent cannot do that. Its id is `jobId`, and a '
    + 'prompt to either job goes to the last one from then on.',
  body: promptRequest,
  example: { prompt: 'Now run the tests.' },
  isIdempotent: true,
  answers: { 202: { description: 'The prompt is taken', body: promptTaken } },
  problems: [...problems, 'too_many_prompts', 'too_many_jobs', 'storage_full', 'shutting_down'],
});

export const cancelTurn = endpoint('POST', '/jobs/:id/prompt/cancel', {
  summary: 'Ends the turn that an agent is at',
  description: 'By session/cancel. The turn stops with `cancelled`; with keepAlive the agent then waits for '
    + 'another prompt.',
  body: emptyBody,
  isIdempotent: true,
  answers: { 200: { description: 'Whether there was a turn', body: turnCancelled } },
  problems,
});

export const answerPermission = endpoint('POST', '/jobs/:id/permissions/:permissionId', {
  summary: 'Answers what an agent asks permission for',
  description: 'By one of the options that the pending permission shows, or by a decision, which may hold '
    + 'longer.',
  body: permissionRequest,
  example: { decision: 'approve', remember: 'turn' },
  isIdempotent: true,
  answers: { 200: { description: 'The agent was told', body: permissionTaken } },
  problems: [...problems, 'permission_not_found'],
});

export const answerElicitation = endpoint('POST', '/jobs/:id/elicitations/:elicitationId', {
  summary: 'Answers a question of an agent',
  description: 'With `content` as the requestedSchema of the pending elicitation wants it. For jobs with '
    + '`elicitation`.',
  body: elicitationRequest,
  example: { action: 'accept', content: { branch: 'main' } },
  isIdempotent: true,
  answers: { 200: { description: 'The agent was told', body: elicitationTaken } },
  problems: [...problems, 'elicitation_not_found'],
});
