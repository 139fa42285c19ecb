/**
 * The answers of the model. It keeps no state: the conversation shows the task and how much of it is done.
 *
 * A prompt holds its task as JSON, see {@link promptOf}. For each step the model calls a tool of the agent; once there
 * is a result for each step, it reports what the results show. Other requests of an agent to its model (titles,
 * summaries, routing) hold no task or no tools.
 */
import { callOf, canDo } from './tools.mjs';

const marks = /<interop-task>(.*?)<\/interop-task>/gs;
/** The beginning of the message of an agent that has done all its steps. */
export const doneText = 'All steps are done:';

/**
 * @param task `id`, `workdir`, `file`, `content`, `command`, `steps` (of `write`, `read`, `change`: replace the content
 *   `before`, `run`, and `run again`, which is `secondCommand`), `hold`: the step, from 0, before which the model waits
 *   until it is released, and `isSandboxed`: commands do not ask to leave the sandbox of the agent.
 */
export function promptOf(task) {
  return `Please do the steps of this task, one after another. <interop-task>${JSON.stringify(task)}</interop-task>`;
}

/**
 * @param request.items The conversation, oldest first: `{ is: 'user' | 'result' | 'other', text }`.
 * @param request.tools The names of the agent's tools.
 * @param request.schema The JSON schema of the answer, if any.
 * @returns `{ text, call, hold }`
 */
export function answerTo({ items, tools, schema }) {
  if (schema) return { text: JSON.stringify(sampleOf(schema)) };
  const asked = items.findLastIndex(({ is, text }) => is === 'user' && taskIn(text));
  const task = asked === -1 ? undefined : taskIn(items[asked].text);
  if (!task || !canDo('write', tools)) return { text: 'Interop' };
  const results = items.slice(asked).filter(({ is }) => is === 'result').map(({ text }) => text);
  const step = task.steps[results.length];
  const hold = task.hold === results.length ? task.id : undefined;
  if (step === undefined) {
    const done = task.steps.map((one, index) => `${one}=${seen(task, one, results[index])}`);
    return { text: `${doneText} earlier=${earlierIn(items, asked)} ${done.join(' ')}`, hold };
  }
  const call = callOf(step, task, tools);
  return call
    ? { text: `I ${step}. `, call, hold }
    : { text: `No tool for ${step} among ${tools.join(', ')}`, hold };
}

/** Counts the prompts with other tasks before the last one. Agents may repeat a prompt. */
function earlierIn(items, last) {
  const prompts = items.slice(0, last).filter(({ is }) => is === 'user').map(({ text }) => text.match(marks)?.at(-1));
  return new Set(
    prompts.filter((prompt) => prompt && prompt !== items[last].text.match(marks).at(-1)),
  ).size;
}

function taskIn(text) {
  const found = [...text.matchAll(marks)].at(-1);
  if (!found) return undefined;
  try {
    return JSON.parse(found[1]);
  } catch {
    // The mark is quoted within other text.
    return undefined;
  }
}

/** Whether the result of reading or running shows what was written. */
function seen({ content }, step, result) {
  return step === 'write' || step === 'change' || result.includes(content) ? 'yes' : 'no';
}

/** A sample value that fits a JSON schema. */
function sampleOf({ type, properties = {}, items, enum: values }) {
  if (values) return values[0];
  const plain = String(type).toLowerCase();
  if (plain === 'object') return Object.fromEntries(
    Object.entries(properties).map(([name, one]) => [name, sampleOf(one)]),
  );
  if (plain === 'array') return items ? [sampleOf(items)] : [];
  if (plain === 'boolean') return false;
  return plain === 'number' || plain === 'integer' ? 1 : 'Interop';
}
