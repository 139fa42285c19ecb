/**
 * Describes what an agent has its client do as the question of a permission request. Pure.
 * @module
 */
import { shellWord } from '../../base/text/shell-word.ts';
import type { PermissionQuestion } from '../permissions/policy.ts';
import { questionOf } from '../permissions/question.ts';
import type { CommandRequest } from './commands.ts';

/** The possible answers, if a person is asked. */
const options: PermissionQuestion['options'] = [
  { optionId: 'allow', kind: 'allow_once', name: 'Allow' },
  { optionId: 'reject', kind: 'reject_once', name: 'Reject' },
];
/** Variables that change how a command's output looks, not what it does: agents set them with every command. */
const inertNames = [
  'CI', 'TERM', 'COLORTERM', 'NO_COLOR', 'FORCE_COLOR', 'CLICOLOR', 'CLICOLOR_FORCE', 'LANG', 'LANGUAGE', 'LC_[A-Z]+',
  'TZ', 'COLUMNS', 'LINES', 'CLAUDECODE', 'GEMINI_CLI', 'QWEN_CODE',
];
const inertVariable = new RegExp(`^(?:${inertNames.join('|')})$`);
/** `PAGER=cat`: agents set it so that no pager waits for a key. */
const pagerVariable = /^(?:PAGER|GIT_PAGER|MANPAGER|GH_PAGER)$/;
const inertValue = /^[\w.:,@+-]{0,100}$/;

export function readQuestion(path: string): PermissionQuestion {
  return { kind: 'read', tools: ['fs/read_text_file'], paths: [path], commands: [], parts: [], options };
}

export function writeQuestion(path: string): PermissionQuestion {
  return { kind: 'edit', tools: ['fs/write_text_file'], paths: [path], commands: [], parts: [], options };
}

/**
 * A command with variables that may change what it does (`PATH`, `BASH_ENV`, …) counts as two: the line itself, which
 * rules that deny or ask match, and the line with its variables in front, which a rule that approves must match as
 * well.
 */
export function commandQuestion({ command, args = [], env = {}, cwd }: CommandRequest): PermissionQuestion {
  const { commands } = questionOf({
    toolCall: { rawInput: { command: args.length === 0 ? command : [command, ...args] } },
  });
  const variables = Object.entries(env)
    .filter(([name, value]) => !isInert(name, value))
    .map(([name, value]) => `${name}=${shellWord(value)}`);
  const withVariables = variables.length === 0 ? [] : commands.map((line) => [...variables, line].join(' '));
  return {
    kind: 'execute',
    tools: ['terminal/create'],
    paths: cwd === undefined ? [] : [cwd],
    commands: [...commands, ...withVariables],
    parts: [],
    options,
  };
}

function isInert(name: string, value: string): boolean {
  return pagerVariable.test(name) ? value === 'cat' : inertVariable.test(name) && inertValue.test(value);
}
