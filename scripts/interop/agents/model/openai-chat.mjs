/** OpenAI's Chat Completions API: https://platform.openai.com/docs/api-reference/chat */
import { textOf } from './text-of.mjs';

export const path = /\/chat\/completions$/;

const roles = { user: 'user', tool: 'result' };
const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };

export function parse(body) {
  return {
    items: body.messages.map(({ role, content }) => ({ is: roles[role] ?? 'other', text: textOf(content) })),
    tools: (body.tools ?? []).map((tool) => (tool.function ?? tool).name),
    schema: body.response_format?.json_schema?.schema,
    isStream: body.stream === true,
  };
}

const callOf = ({ name, args }, id) => (
  { id: `call_${id}`, type: 'function', function: { name, arguments: JSON.stringify(args) } }
);
const reasonOf = ({ call }) => (call ? 'tool_calls' : 'stop');

export function whole(answer, { id, model }) {
  const message = {
    role: 'assistant', content: answer.text, ...(answer.call && { tool_calls: [callOf(answer.call, id)] }),
  };
  return {
    id, object: 'chat.completion', created: 1, model,
    choices: [{ index: 0, message, finish_reason: reasonOf(answer) }], usage,
  };
}

/** @returns `opening`, the events up to the text, and `closing`, the rest. */
export function stream(answer, { id, model }) {
  const chunk = (delta, reason = null) => ({ data: {
    id, object: 'chat.completion.chunk', created: 1, model, choices: [{ index: 0, delta, finish_reason: reason }],
  } });
  return {
    opening: [chunk({ role: 'assistant', content: '' }), chunk({ content: answer.text })],
    closing: [
      ...(answer.call ? [chunk({ tool_calls: [{ index: 0, ...callOf(answer.call, id) }] })] : []),
      chunk({}, reasonOf(answer)),
      { data: { id, object: 'chat.completion.chunk', created: 1, model, choices: [], usage } },
      { data: '[DONE]' },
    ],
  };
}
