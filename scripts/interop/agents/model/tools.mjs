/** Chooses the tool of an agent for a step, and its arguments: the first in the table that the agent has. */
import { join } from 'node:path';

const pathOf = ({ workdir, file }) => join(workdir, file);
const patchOf = ({ file, content }) => `*** Begin Patch\n*** Add File: ${file}\n+${content}\n*** End Patch\n`;
const description = 'A step of the task';

const writers = [
  // Gemini, Qwen
  ['write_file', (task) => ({ args: { file_path: pathOf(task), content: task.content } })],
  // Claude, by its own tool and by that of its client
  ['Write', (task) => ({ args: { file_path: pathOf(task), content: task.content } })],
  ['mcp__acp__Write', (task) => ({ args: { file_path: pathOf(task), content: task.content } })],
  // opencode
  ['write', (task) => ({ args: { filePath: pathOf(task), content: task.content } })],
];
const patchers = [
  // Codex
  ['apply_patch', (task) => ({ input: patchOf(task), args: { input: patchOf(task) } })],
  ...shells((task) => `apply_patch <<'PATCH'\n${patchOf(task)}PATCH`),
];

/** `input`: text for a tool that takes no arguments. Copilot has one tool for new files, and one for others. */
const table = {
  write: [...writers, ['create', (task) => ({ args: { path: pathOf(task), file_text: task.content } })], ...patchers],
  change: [
    ...writers,
    ['edit', (task) => ({ args: { path: pathOf(task), old_str: task.before, new_str: task.content } })],
    ...patchers,
  ],
  read: [
    ['read_file', (task) => ({ args: { file_path: pathOf(task) } })],
    ['Read', (task) => ({ args: { file_path: pathOf(task) } })],
    ['mcp__acp__Read', (task) => ({ args: { file_path: pathOf(task) } })],
    ['read', (task) => ({ args: { filePath: pathOf(task) } })],
    ['view', (task) => ({ args: { path: pathOf(task) } })],
    // Codex reads with commands.
    ...shells(({ file }) => `cat ${file}`),
  ],
  run: [
    ['run_shell_command', ({ command }) => ({ args: { command, description, is_background: false } })],
    ['Bash', ({ command }) => ({ args: { command, description } })],
    ['mcp__acp__Bash', ({ command }) => ({ args: { command, description, timeout: 60_000 } })],
    ...shells(({ command }) => command),
    ['bash', ({ command }) => ({ args: { command, description } })],
  ],
};

function shells(commandOf) {
  return [
    ['shell_command', (task) => ({ args: { command: commandOf(task), ...asked(task) } })],
    ['exec_command', (task) => ({ args: { cmd: commandOf(task), login: false, ...asked(task) } })],
    ['shell', (task) => ({ args: { command: ['bash', '-c', commandOf(task)], ...asked(task) } })],
  ];
}

/** Asks to run outside the agent's sandbox, which some machines cannot make; so the agent asks for permission. */
const asked = ({ workdir, isSandboxed }) =>
  isSandboxed ? {} : { workdir, sandbox_permissions: 'require_escalated', justification: description };

export function canDo(step, tools) {
  return table[step].some(([name]) => tools.includes(name));
}

/** @returns `{ name, args, input }`, or `undefined` if the agent has no tool for the step. */
export function callOf(step, task, tools) {
  if (step === 'run again') return callOf('run', { ...task, command: task.secondCommand }, tools);
  const found = table[step].find(([name]) => tools.includes(name));
  return found && { name: found[0], ...found[1](task) };
}
