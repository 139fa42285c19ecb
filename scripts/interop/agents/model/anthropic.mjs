/** Anthropic's Messages API: https://docs.anthropic.com/en/api/messages */
import { textOf } from './text-of.mjs';

export const path = /\/messages$/;

export function parse(body) {
  return {
    items: body.messages.flatMap(({ role, content }) => (
      typeof content === 'string' ? [{ type: 'text', text: content }] : content
    ).map((block) => itemOf(role, block))),
    tools: (body.tools ?? []).map(({ name }) => name),
    schema: body.output_config?.format?.schema ?? body.output_format?.schema,
    isStream: body.stream === true,
  };
}

function itemOf(role, block) {
  if (block.type === 'tool_result') return { is: 'result', text: textOf(block.content) };
  return { is: role === 'user' ? 'user' : 'other', text: block.text ?? '' };
}

const reasonOf = ({ call }) => (call ? 'tool_use' : 'end_turn');
const toolOf = ({ name, args }, id) => ({ type: 'tool_use', id: `toolu_${id}`, name, input: args });
const messageOf = (content, reason, { id, model }) => ({
  id: `msg_${id}`, type: 'message', role: 'assistant', model, content,
  stop_reason: reason, stop_sequence: null, usage: { input_tokens: 10, output_tokens: 5 },
});

export function whole(answer, about) {
  return messageOf(
    [{ type: 'text', text: answer.text }, ...(answer.call ? [toolOf(answer.call, about.id)] : [])],
    reasonOf(answer), about,
  );
}

export function stream(answer, about) {
  const event = (type, fields = {}) => ({ event: type, data: { type, ...fields } });
  const block = (index, start, delta) => [
    event('content_block_start', { index, content_block: start }),
    event('content_block_delta', { index, delta }),
    event('content_block_stop', { index }),
  ];
  const text = block(0, { type: 'text', text: '' }, { type: 'text_delta', text: answer.text });
  const tool = answer.call
    ? block(
      1, { ...toolOf(answer.call, about.id), input: {} },
      { type: 'input_json_delta', partial_json: JSON.stringify(answer.call.args) },
    )
    : [];
  return {
    opening: [event('message_start', { message: messageOf([], null, about) }), ...text.slice(0, 2)],
    closing: [
      ...text.slice(2), ...tool,
      event('message_delta', {
        delta: { stop_reason: reasonOf(answer), stop_sequence: null }, usage: { output_tokens: 5 },
      }),
      event('message_stop'),
    ],
  };
}
