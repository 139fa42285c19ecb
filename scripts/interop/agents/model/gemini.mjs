/** Gemini's generateContent: https://ai.google.dev/api/generate-content */
import { textOf } from './text-of.mjs';

export const path = /:(streamGenerateContent|generateContent)$/;

export function parse(body, { pathname }) {
  const { generationConfig = {} } = body;
  return {
    items: body.contents.flatMap(({ role, parts }) => parts.map((part) => itemOf(role, part))),
    tools: (body.tools ?? []).flatMap(({ functionDeclarations = [] }) => functionDeclarations.map(({ name }) => name)),
    schema: generationConfig.responseJsonSchema ?? generationConfig.responseSchema,
    isStream: pathname.endsWith(':streamGenerateContent'),
  };
}

function itemOf(role, part) {
  if (part.functionResponse) return { is: 'result', text: textOf(part.functionResponse.response) };
  return { is: role === 'user' && part.text !== undefined ? 'user' : 'other', text: part.text ?? '' };
}

const callOf = ({ name, args }, id) => ({ functionCall: { id: `call-${id}`, name, args } });

function piece(parts, { model }, isLast) {
  return {
    candidates: [{ index: 0, content: { role: 'model', parts }, ...(isLast && { finishReason: 'STOP' }) }],
    usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 }, modelVersion: model,
  };
}

export function whole({ text, call }, about) {
  return piece([{ text }, ...(call ? [callOf(call, about.id)] : [])], about, true);
}

export function stream({ text, call }, about) {
  return {
    opening: [{ data: piece([{ text }], about, false) }],
    closing: [{ data: piece(call ? [callOf(call, about.id)] : [{ text: '' }], about, true) }],
  };
}
