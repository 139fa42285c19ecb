/** OpenAI's Responses API: https://platform.openai.com/docs/api-reference/responses */
import { textOf } from './text-of.mjs';

export const path = /\/responses$/;

const usage = {
  input_tokens: 10, input_tokens_details: { cached_tokens: 0 },
  output_tokens: 5, output_tokens_details: { reasoning_tokens: 0 }, total_tokens: 15,
};

export function parse(body) {
  const input = typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : body.input;
  const tools = body.tools ?? [];
  return {
    items: input.map((item) => ({ is: kindOf(item), text: textOf(item.content ?? item.output ?? '') })),
    tools: tools.map(({ name, type }) => name ?? type),
    schema: body.text?.format?.schema,
    isStream: body.stream === true,
    freeform: tools.filter(({ type }) => type === 'custom').map(({ name }) => name),
  };
}

function kindOf({ type = 'message', role }) {
  if (type.endsWith('_call_output')) return 'result';
  return type === 'message' && role === 'user' ? 'user' : 'other';
}

const messageOf = (text, id) => ({
  id: `msg_${id}`, type: 'message', status: 'completed', role: 'assistant',
  content: [{ type: 'output_text', text, annotations: [] }],
});

function callOf({ name, args, input }, { id, freeform }) {
  const common = { id: `fc_${id}`, call_id: `call_${id}`, name, status: 'completed' };
  return input !== undefined && freeform.includes(name)
    ? { ...common, type: 'custom_tool_call', input }
    : { ...common, type: 'function_call', arguments: JSON.stringify(args) };
}

const responseOf = (status, output, { id, model }) => ({
  id: `resp_${id}`, object: 'response', created_at: 1, status, model, output,
  usage: status === 'completed' ? usage : null,
});

const outputOf = ({ text, call }, about) => [
  messageOf(text, about.id), ...(call ? [callOf(call, about)] : []),
];

export function whole(answer, about) {
  return responseOf('completed', outputOf(answer, about), about);
}

export function stream(answer, about) {
  let sequence = 0;
  const event = (type, fields) => ({ event: type, data: { type, sequence_number: sequence++, ...fields } });
  const [message, call] = outputOf(answer, about);
  const part = { item_id: message.id, output_index: 0, content_index: 0 };
  return {
    opening: [
      event('response.created', { response: responseOf('in_progress', [], about) }),
      event('response.output_item.added', {
        output_index: 0, item: { ...message, status: 'in_progress', content: [] },
      }),
      event('response.content_part.added', { ...part, part: { type: 'output_text', text: '', annotations: [] } }),
      event('response.output_text.delta', { ...part, delta: answer.text }),
    ],
    closing: [
      event('response.output_text.done', { ...part, text: answer.text }),
      event('response.content_part.done', { ...part, part: message.content[0] }),
      event('response.output_item.done', { output_index: 0, item: message }),
      ...(call ? callEvents(call, event) : []),
      event('response.completed', { response: whole(answer, about) }),
    ],
  };
}

function callEvents(call, event) {
  const [kind, field] = call.type === 'function_call'
    ? ['function_call_arguments', 'arguments']
    : ['custom_tool_call_input', 'input'];
  const at = { item_id: call.id, output_index: 1 };
  return [
    event('response.output_item.added', { output_index: 1, item: { ...call, status: 'in_progress', [field]: '' } }),
    event(`response.${kind}.delta`, { ...at, delta: call[field] }),
    event(`response.${kind}.done`, { ...at, [field]: call[field] }),
    event('response.output_item.done', { output_index: 1, item: call }),
  ];
}
