/**
 * What an agent that asks for permission is told. Pure.
 * @module
 */
import { isAbsolute, resolve } from 'node:path';
import type { PermissionDecision, PermissionPolicy, PermissionRule } from '../protocol/agents.ts';
import { glob, inCommand, inName, inText } from './glob.ts';

export type PermissionOptionKind = 'allow_once' | 'allow_always' | 'reject_once' | 'reject_always';

/** What the agent wants, as far as it says. */
export interface PermissionQuestion {
  readonly kind: string;
  /** Its name and its title, where it has them. */
  readonly tools: readonly string[];
  readonly paths: readonly string[];
  readonly commands: readonly string[];
  readonly options: readonly { readonly optionId: string; readonly kind: string; readonly name?: string }[];
}

export type PermissionAnswer =
  | { readonly is: 'selected'; readonly optionId: string; readonly optionKind: PermissionOptionKind; readonly reason: string }
  /** There is no option that says what was decided. */
  | { readonly is: 'cancelled'; readonly reason: string }
  | { readonly is: 'pending'; readonly reason: string };

export interface PermissionContext {
  /** Its real path. */
  readonly workdir: string;
  /** Where a path that the question names, as it names it, really leads; `undefined`: out of the jail. */
  readonly realPathOf: (path: string) => string | undefined;
}

/**
 * Nothing is approved that names a path outside the jail, and no command that no rule names; and nothing for always, as the next question of that
 * kind may name something else.
 */
export function decide(policy: PermissionPolicy, question: PermissionQuestion, context: PermissionContext): PermissionAnswer {
  const { decision, reason } = weigh(policy, question, context);
  if (decision === 'ask') return { is: 'pending', reason };
  return select(question, decision, reason) ?? (decision === 'approve' ? select(question, 'deny', `${reason}, but it cannot be allowed once`) : undefined)
    ?? { is: 'cancelled', reason: `${reason}, but no option says so` };
}

/** What becomes of something that an agent has its client do, without asking for permission itself. */
export interface ServiceDecision {
  readonly decision: PermissionDecision;
  readonly reason: string;
  /** A denial that no permission granted before overrides: the policy, or a rule that fits, says so. */
  readonly isFinal: boolean;
}

/**
 * Decides about a file or a command of the client as about a permission request for it. Its tool is the method, such as `fs/write_text_file`.
 *
 * Reading within the directories of the job is free, as agents ask no permission for it either: only a rule that names what is read, by `kind`,
 * `path` or `tool`, denies it or asks.
 */
export function decideService(policy: PermissionPolicy, question: PermissionQuestion, context: PermissionContext): ServiceDecision {
  if (question.kind === 'read') return decideRead(policy, question, context);
  const { decision, reason, rule } = weigh(policy, question, context);
  return { decision, reason, isFinal: decision === 'deny' && (policy === 'deny' || rule?.decide === 'deny') };
}

function decideRead(policy: PermissionPolicy, question: PermissionQuestion, context: PermissionContext): ServiceDecision {
  const index = typeof policy === 'string' ? -1 : policy.findIndex((rule) => fits(rule, question, context));
  const { decide: decision = 'approve', path, kind, tool } = typeof policy === 'string' ? {} : policy[index] ?? {};
  const isMeant = [path, kind, tool].some((named) => named !== undefined);
  if (decision === 'approve' || !isMeant) return { decision: 'approve', reason: 'reading is free', isFinal: false };
  return { decision, reason: `rule ${index + 1} says ${decision}`, isFinal: decision === 'deny' };
}

function select({ options }: PermissionQuestion, decision: 'approve' | 'deny', reason: string): PermissionAnswer | undefined {
  const wanted: readonly PermissionOptionKind[] = decision === 'approve' ? ['allow_once'] : ['reject_once', 'reject_always'];
  for (const optionKind of wanted) {
    // Of an id that stands for two kinds nobody knows what it would say.
    const option = options.find(({ kind, optionId }) => kind === optionKind && options.every((one) => one.optionId !== optionId || one.kind === kind));
    if (option) return { is: 'selected', optionId: option.optionId, optionKind, reason };
  }
  return undefined;
}

interface Weighed {
  readonly decision: PermissionDecision;
  readonly reason: string;
  /** The one that fits. */
  readonly rule?: PermissionRule;
}

function weigh(policy: PermissionPolicy, question: PermissionQuestion, context: PermissionContext): Weighed {
  if (policy === 'deny' || policy === 'ask') return { decision: policy, reason: `the policy is ${policy}` };
  const isCommand = question.kind === 'execute' || question.commands.length > 0;
  const rules = typeof policy === 'string' ? undefined : policy;
  const index = rules?.findIndex((rule) => fits(rule, question, context)) ?? -1;
  const rule = rules?.[index];
  if (rules && !rule) return { decision: 'deny', reason: 'no rule fits it' };
  const from = rule ? `rule ${index + 1}` : 'the policy';
  const by = rule ? { rule } : {};
  if (rule && rule.decide !== 'approve') return { decision: rule.decide, reason: `${from} says ${rule.decide}`, ...by };
  const outside = question.paths.find((path) => context.realPathOf(path) === undefined);
  if (outside !== undefined) return { decision: 'deny', reason: `${from} would approve it, but ${outside} is outside of the directories of the job`, ...by };
  const namesCommands = rule !== undefined && (rule.command !== undefined || rule.kind === 'execute');
  if (isCommand && !namesCommands) return { decision: 'deny', reason: `${from} approves no commands: a rule with the kind execute, or with a command, would`, ...by };
  return { decision: 'approve', reason: `${from} says approve`, ...by };
}

function fits(rule: PermissionRule, { kind, tools, paths, commands }: PermissionQuestion, { workdir, realPathOf }: PermissionContext): boolean {
  const isApproval = rule.decide === 'approve';
  const most = <T>(all: readonly T[], test: (one: T) => boolean): boolean => (isApproval ? all.length > 0 && all.every(test) : all.some(test));
  const { path, command } = rule;
  if (rule.kind !== undefined && !glob(rule.kind, inText)(kind)) return false;
  if (rule.tool !== undefined && !tools.some(glob(rule.tool, inText))) return false;
  if (path !== undefined) {
    const isMeant = glob(isAbsolute(path) ? path : resolve(workdir, path), inName);
    const isNamed = (one: string): boolean => {
      const real = realPathOf(one);
      return (real !== undefined && isMeant(real)) || (!isApproval && isMeant(resolve(workdir, one)));
    };
    if (!most(paths, isNamed)) return false;
  }
  return command === undefined || most(commands, glob(command, inCommand));
}
