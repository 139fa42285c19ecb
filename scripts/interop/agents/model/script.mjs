/**
 * What the model says. It remembers nothing: a conversation tells what was asked for and how far that is done.
 *
 * A prompt holds its task as JSON, see {@link promptOf}. For each step the model calls a tool of the agent; once there is a result for each step, it
 * says what it has seen in them. Whatever else an agent asks its model (titles, summaries, what to route where) has no task or no tools for it.
 */
import { callOf, canDo } from './tools.mjs';

const marks = /<interop-task>(.*?)<\/interop-task>/gs;
/** How the message of an agent begins that has done all its steps. */
export const doneText = 'All steps are done:';

/**
 * @param task `id`, `workdir`, `file`, `content`, `command`, `steps` (of `write`, `read`, `change`: write what was `before`,
 *   `run`, and `run again`, which is `secondCommand`), `hold`: before which step, from 0, the model waits until it is
 *   released, and `isSandboxed`: commands do not ask to leave the sandbox of the agent.
 */
export function promptOf(task) {
  return `Please do the steps of this task, one after another. <interop-task>${JSON.stringify(task)}</interop-task>`;
}

/**
 * @param request.items All that was said, oldest first: `{ is: 'user' | 'result' | 'other', text }`.
 * @param request.tools Their names.
 * @param request.schema Of the JSON that the answer must be, if any.
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
  return call ? { text: `I ${step}. `, call, hold } : { text: `No tool for ${step} among ${tools.join(', ')}`, hold };
}

/** How many prompts with other tasks there are before the last one. Agents may repeat a prompt. */
function earlierIn(items, last) {
  const prompts = items.slice(0, last).filter(({ is }) => is === 'user').map(({ text }) => text.match(marks)?.at(-1));
  return new Set(prompts.filter((prompt) => prompt && prompt !== items[last].text.match(marks).at(-1))).size;
}

function taskIn(text) {
  const found = [...text.matchAll(marks)].at(-1);
  if (!found) return undefined;
  try {
    return JSON.parse(found[1]);
  } catch {
    // Quoted within something else.
    return undefined;
  }
}

/** Whether what was read or run shows what was written. */
function seen({ content }, step, result) {
  return step === 'write' || step === 'change' || result.includes(content) ? 'yes' : 'no';
}

/** Something that fits a JSON schema. */
function sampleOf({ type, properties = {}, items, enum: values }) {
  if (values) return values[0];
  const plain = String(type).toLowerCase();
  if (plain === 'object') return Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, sampleOf(one)]));
  if (plain === 'array') return items ? [sampleOf(items)] : [];
  if (plain === 'boolean') return false;
  return plain === 'number' || plain === 'integer' ? 1 : 'Interop';
}
