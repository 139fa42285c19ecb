/**
 * Decides the permission requests of an agent. Pure.
 * @module
 */
import { isAbsolute, resolve } from 'node:path';
import {
  type PermissionDecision, type PermissionPolicy, type PermissionRule, readingKinds,
} from '../../protocol/agents/permission-policy.ts';
import { glob, inCommand, inName, inText } from '../../base/text/glob.ts';
import { wideCommands } from './wide-command.ts';

export type PermissionOptionKind = 'allow_once' | 'allow_always' | 'reject_once' | 'reject_always';

/** What the agent wants to do, as far as it says. */
export interface PermissionQuestion {
  readonly kind: string;
  /** The name and the title of the tool, where it has them. */
  readonly tools: readonly string[];
  readonly paths: readonly string[];
  /** What will run. */
  readonly commands: readonly string[];
  /** Further texts that describe it: a rule that denies or asks matches them as it matches commands. */
  readonly parts: readonly string[];
  /** The input, if it names neither a path nor a command: it distinguishes one question from another. */
  readonly inputs?: readonly string[];
  /** Set for an unknown kind whose input is not fully understood: that counts as a command. */
  readonly isUnclear?: boolean;
  readonly options: readonly { readonly optionId: string; readonly kind: string; readonly name?: string }[];
}

/** The kinds of the protocol, except for `other`, which says nothing. */
const knownKinds: ReadonlySet<string> = new Set(['edit', 'delete', 'move', 'execute', 'switch_mode', ...readingKinds]);

export function isKnownKind(kind: string): boolean {
  return knownKinds.has(kind);
}

type OptionsOnly = Pick<PermissionQuestion, 'options'>;

export type PermissionAnswer =
  | {
    readonly type: 'selected'; readonly optionId: string; readonly optionKind: PermissionOptionKind;
    readonly reason: string
  }
  /** No option expresses the decision. */
  | { readonly type: 'cancelled'; readonly reason: string }
  | { readonly type: 'pending'; readonly reason: string };

export interface PermissionContext {
  /** The real path of the workdir. */
  readonly workdir: string;
  /** The real path of a path that the question names, as it names it; `undefined` if it is outside of the sandbox. */
  readonly realPathOf: (path: string) => string | undefined;
}

/**
 * A question that names a path outside of the sandbox is never approved. A command that no rule names is approved only
 * by `all` and `approve`. No option that allows always is selected, because the next question of that kind may name
 * something else.
 */
export function decide(
  policy: PermissionPolicy,
  question: PermissionQuestion,
  context: PermissionContext,
): PermissionAnswer {
  const { decision, reason } = decideByRules(policy, question, context);
  if (decision === 'ask') return { type: 'pending', reason };
  return select(question, decision, reason)
    ?? (decision === 'approve' ? select(question, 'deny', `${reason}, but it cannot be allowed once`) : undefined)
    ?? { type: 'cancelled', reason: `${reason}, but no option expresses that` };
}

/** The option that approves once, or that denies, if possible once; `undefined` if no option does. */
export function optionOf(question: OptionsOnly, decision: 'approve' | 'deny'): string | undefined {
  const answer = select(question, decision, '');
  return answer?.type === 'selected' ? answer.optionId : undefined;
}

/** The decision about an action that an agent has its client do, without a permission request. */
export interface ServiceDecision {
  readonly decision: PermissionDecision;
  readonly reason: string;
  /** Whether a denial overrides permissions granted before: the policy, or a rule that matches, says so. */
  readonly isFinal: boolean;
}

/**
 * Decides about a file or a command of the client like a permission request for it. Its tool is the method, such as
 * `fs/write_text_file`.
 *
 * Reading within the directories of the job is free, because agents ask no permission for it either: only a rule that
 * names what is read, by `kind`, `path` or `tool`, denies it or asks.
 */
export function decideService(
  policy: PermissionPolicy,
  question: PermissionQuestion,
  context: PermissionContext,
): ServiceDecision {
  if (question.kind === 'read') return decideRead(policy, question, context);
  const { decision, reason, rule } = decideByRules(policy, question, context);
  return { decision, reason, isFinal: decision === 'deny' && (typeof policy === 'string' || rule?.decide === 'deny') };
}

function decideRead(
  policy: PermissionPolicy,
  question: PermissionQuestion,
  context: PermissionContext,
): ServiceDecision {
  const { number, rule } = ruleFor(policy, question, context) ?? {};
  const { decide: decision = 'approve', path, kind, tool } = rule ?? {};
  const isMeant = [path, kind, tool].some((named) => named !== undefined);
  if (decision === 'approve' || !isMeant) return { decision: 'approve', reason: 'reading is free', isFinal: false };
  return { decision, reason: `rule ${number} says ${decision}`, isFinal: decision === 'deny' };
}

function select({ options }: OptionsOnly, decision: 'approve' | 'deny', reason: string): PermissionAnswer | undefined {
  const wanted: readonly PermissionOptionKind[] = decision === 'approve'
    ? ['allow_once']
    : ['reject_once', 'reject_always'];
  for (const optionKind of wanted) {
    // An id that stands for two kinds is ambiguous.
    const option = options.find(({ kind, optionId }) => kind === optionKind
      && options.every((one) => one.optionId !== optionId || one.kind === kind));
    if (option) return { type: 'selected', optionId: option.optionId, optionKind, reason };
  }
  return undefined;
}

interface RuleDecision {
  readonly decision: PermissionDecision;
  readonly reason: string;
  /** The rule that matches. */
  readonly rule?: PermissionRule;
}

function decideByRules(
  policy: PermissionPolicy, question: PermissionQuestion, context: PermissionContext,
): RuleDecision {
  if (policy === 'deny' || policy === 'ask') return { decision: policy, reason: `the policy is ${policy}` };
  const found = ruleFor(policy, question, context);
  if (typeof policy !== 'string' && !found) return { decision: 'deny', reason: 'no rule matches it' };
  const from = found ? `rule ${found.number}` : 'the policy';
  const by = found ? { rule: found.rule } : {};
  if (found && found.rule.decide !== 'approve') {
    return { decision: found.rule.decide, reason: `${from} says ${found.rule.decide}`, ...by };
  }
  const outside = question.paths.find((path) => context.realPathOf(path) === undefined);
  if (outside !== undefined) {
    return {
      decision: 'deny',
      reason: `${from} would approve it, but ${outside} is outside of the directories of the job`,
      ...by,
    };
  }
  const refusal = typeof policy === 'string' ? refusalOf(policy, question) : refusalByRule(found?.rule, question);
  if (refusal !== undefined) return { decision: 'deny', reason: `${from} ${refusal}`, ...by };
  return { decision: 'approve', reason: `${from} says approve`, ...by };
}

/** Why a preset does not approve a question within the directories of the job; `undefined` if it does. */
function refusalOf(preset: string, question: PermissionQuestion): string | undefined {
  if (preset === 'all' || preset === 'approve') return undefined;
  const isRefused = preset === 'read' && !readingKinds.includes(question.kind);
  if (isCommand(question) && !(isRefused && isUnclear(question))) return `${preset} approves no commands`;
  return isRefused ? `read approves no ${question.kind}` : undefined;
}

function refusalByRule(rule: PermissionRule | undefined, question: PermissionQuestion): string | undefined {
  if (!isCommand(question) || rule?.command !== undefined || rule?.kind === 'execute') return undefined;
  // Tools of MCP servers accept any input.
  if (isUnclear(question) && /[^*?]/.test(rule?.tool ?? '')) return undefined;
  return 'approves no commands: a rule with the kind execute, or with a command, would';
}

function isCommand(question: PermissionQuestion): boolean {
  return question.kind === 'execute' || question.commands.length > 0 || isUnclear(question);
}

/** Whether the tool may do anything, so that it counts as a command. */
function isUnclear({ kind, paths, commands, isUnclear: isToldSo = false }: PermissionQuestion): boolean {
  return isToldSo || (!isKnownKind(kind) && paths.length + commands.length === 0);
}

interface FoundRule {
  /** From 1. */
  readonly number: number;
  readonly rule: PermissionRule;
}

/**
 * The first rule that matches. If it approves, a later rule that denies takes precedence if it names a path, a command
 * or a part of the question that the first rule does not name itself.
 */
function ruleFor(
  policy: PermissionPolicy, question: PermissionQuestion, context: PermissionContext,
): FoundRule | undefined {
  if (typeof policy === 'string') return undefined;
  const first = policy.findIndex((rule) => matches(rule, question, context));
  const rule = policy[first];
  if (rule?.decide !== 'approve') return rule && { number: first + 1, rule };
  const rest = { ...question, ...unnamedBy(rule, question, context) };
  const isDenial = ({ decide: decision, path, command }: PermissionRule): boolean =>
    decision === 'deny' && (path !== undefined || command !== undefined);
  const denying = policy.findIndex((one, index) => index > first && isDenial(one) && matches(one, rest, context));
  return { number: (denying === -1 ? first : denying) + 1, rule: policy[denying] ?? rule };
}

/** The parts of the question that an approving rule does not name. */
function unnamedBy(
  { path, command }: PermissionRule, { paths, commands, parts }: PermissionQuestion, context: PermissionContext,
): Pick<PermissionQuestion, 'paths' | 'commands' | 'parts'> {
  const isNamed = path === undefined ? () => false : pathTest(path, context, true);
  const isMeant = command === undefined ? () => false : glob(command, inCommand);
  const isUnmeant = (one: string): boolean => !isMeant(one);
  const unnamed = paths.filter((one) => !isNamed(one));
  return { paths: unnamed, commands: commands.filter(isUnmeant), parts: parts.filter(isUnmeant) };
}

function matches(rule: PermissionRule, question: PermissionQuestion, context: PermissionContext): boolean {
  const { tools, paths, commands, parts } = question;
  const isApproval = rule.decide === 'approve';
  const anyOrAll = <T>(all: readonly T[], test: (one: T) => boolean): boolean => (isApproval
    ? all.length > 0 && all.every(test)
    : all.some(test));
  const { path, command } = rule;
  if (rule.kind !== undefined && !matchesKind(rule.kind, question, isApproval)) return false;
  if (rule.tool !== undefined && !tools.some(glob(rule.tool, inText))) return false;
  if (path !== undefined && !anyOrAll(paths, pathTest(path, context, isApproval))) return false;
  if (command === undefined) return true;
  if (isApproval) return anyOrAll(commands, glob(command, inCommand));
  return [...commands, ...parts].flatMap(wideCommands).some(glob(command, inText));
}

/**
 * A command also matches `execute`; for an approval, only if its own kind is unknown. To deny or ask, a move also
 * matches `edit`, and so does an unknown kind with paths.
 */
function matchesKind(pattern: string, question: PermissionQuestion, isApproval: boolean): boolean {
  const { kind, paths } = question;
  const isMeant = glob(pattern, inText);
  const isKnown = isKnownKind(kind);
  if (isMeant(kind)) return true;
  if (isCommand(question) && isMeant('execute') && !(isApproval && isKnown)) return true;
  return !isApproval && (kind === 'move' || (!isKnown && paths.length > 0)) && isMeant('edit');
}

/** @param isReal Whether only real paths match, not the names of links. */
function pathTest(
  pattern: string, { workdir, realPathOf }: PermissionContext, isReal: boolean,
): (path: string) => boolean {
  const isMeant = glob(isAbsolute(pattern) ? pattern : resolve(workdir, pattern), inName);
  return (path) => {
    const real = realPathOf(path);
    return (real !== undefined && isMeant(real)) || (!isReal && isMeant(resolve(workdir, path)));
  };
}
