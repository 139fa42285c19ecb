/**
 * What an agent that asks for permission is told. Pure.
 * @module
 */
import { isAbsolute, resolve } from 'node:path';
import { type PermissionDecision, type PermissionPolicy, type PermissionRule, readingKinds } from '../protocol/agents.ts';
import { glob, inCommand, inName, inText } from './glob.ts';
import { wideCommands } from './wide-command.ts';

export type PermissionOptionKind = 'allow_once' | 'allow_always' | 'reject_once' | 'reject_always';

/** What the agent wants, as far as it says. */
export interface PermissionQuestion {
  readonly kind: string;
  /** Its name and its title, where it has them. */
  readonly tools: readonly string[];
  readonly paths: readonly string[];
  /** What will run. */
  readonly commands: readonly string[];
  /** Further texts that describe it: a rule that denies or asks fits them as it fits commands. */
  readonly parts: readonly string[];
  /** What it is given, where that names neither a path nor a command: it tells one question from another. */
  readonly inputs?: readonly string[];
  /** Of no known kind, and given more than is understood: that counts as a command. */
  readonly isUnclear?: boolean;
  readonly options: readonly { readonly optionId: string; readonly kind: string; readonly name?: string }[];
}

/** Of the protocol, but for `other`, which says nothing. */
const knownKinds: ReadonlySet<string> = new Set(['edit', 'delete', 'move', 'execute', 'switch_mode', ...readingKinds]);

export function isKnownKind(kind: string): boolean {
  return knownKinds.has(kind);
}

type Offering = Pick<PermissionQuestion, 'options'>;

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
 * Nothing is approved that names a path outside the jail, and no command that no rule names, but by `all`; and nothing
 * for always, as the next question of that kind may name something else.
 */
export function decide(policy: PermissionPolicy, question: PermissionQuestion, context: PermissionContext): PermissionAnswer {
  const { decision, reason } = weigh(policy, question, context);
  if (decision === 'ask') return { is: 'pending', reason };
  return select(question, decision, reason) ?? (decision === 'approve' ? select(question, 'deny', `${reason}, but it cannot be allowed once`) : undefined)
    ?? { is: 'cancelled', reason: `${reason}, but no option says so` };
}

/** The option that approves, or denies, for this once; `undefined`: there is none. */
export function optionOf(question: Offering, decision: 'approve' | 'deny'): string | undefined {
  const answer = select(question, decision, '');
  return answer?.is === 'selected' ? answer.optionId : undefined;
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
  return { decision, reason, isFinal: decision === 'deny' && (typeof policy === 'string' || rule?.decide === 'deny') };
}

function decideRead(policy: PermissionPolicy, question: PermissionQuestion, context: PermissionContext): ServiceDecision {
  const { number, rule } = ruleFor(policy, question, context) ?? {};
  const { decide: decision = 'approve', path, kind, tool } = rule ?? {};
  const isMeant = [path, kind, tool].some((named) => named !== undefined);
  if (decision === 'approve' || !isMeant) return { decision: 'approve', reason: 'reading is free', isFinal: false };
  return { decision, reason: `rule ${number} says ${decision}`, isFinal: decision === 'deny' };
}

function select({ options }: Offering, decision: 'approve' | 'deny', reason: string): PermissionAnswer | undefined {
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
  const found = ruleFor(policy, question, context);
  if (typeof policy !== 'string' && !found) return { decision: 'deny', reason: 'no rule fits it' };
  const from = found ? `rule ${found.number}` : 'the policy';
  const by = found ? { rule: found.rule } : {};
  if (found && found.rule.decide !== 'approve') {
    return { decision: found.rule.decide, reason: `${from} says ${found.rule.decide}`, ...by };
  }
  const outside = question.paths.find((path) => context.realPathOf(path) === undefined);
  if (outside !== undefined) return { decision: 'deny', reason: `${from} would approve it, but ${outside} is outside of the directories of the job`, ...by };
  const refusal = typeof policy === 'string' ? refusalOf(policy, question) : refusalByRule(found?.rule, question);
  if (refusal !== undefined) return { decision: 'deny', reason: `${from} ${refusal}`, ...by };
  return { decision: 'approve', reason: `${from} says approve`, ...by };
}

/** What a preset does not approve within the directories of the job. */
function refusalOf(preset: string, question: PermissionQuestion): string | undefined {
  if (preset === 'all' || preset === 'approve') return undefined;
  const isRefused = preset === 'read' && !readingKinds.includes(question.kind);
  if (isCommand(question) && !(isRefused && isUnclear(question))) return `${preset} approves no commands`;
  return isRefused ? `read approves no ${question.kind}` : undefined;
}

function refusalByRule(rule: PermissionRule | undefined, question: PermissionQuestion): string | undefined {
  if (!isCommand(question) || rule?.command !== undefined || rule?.kind === 'execute') return undefined;
  // Tools of MCP servers are given anything.
  if (isUnclear(question) && /[^*?]/.test(rule?.tool ?? '')) return undefined;
  return 'approves no commands: a rule with the kind execute, or with a command, would';
}

function isCommand(question: PermissionQuestion): boolean {
  return question.kind === 'execute' || question.commands.length > 0 || isUnclear(question);
}

/** It may be anything, so that it counts as a command. */
function isUnclear({ kind, paths, commands, isUnclear: isToldSo = false }: PermissionQuestion): boolean {
  return isToldSo || (!isKnownKind(kind) && paths.length + commands.length === 0);
}

interface FoundRule {
  /** From 1. */
  readonly number: number;
  readonly rule: PermissionRule;
}

/**
 * The first that fits. Where that approves, a later one that denies stands above it if it names a path, a command or a
 * part of the question that the first does not name itself.
 */
function ruleFor(
  policy: PermissionPolicy, question: PermissionQuestion, context: PermissionContext,
): FoundRule | undefined {
  if (typeof policy === 'string') return undefined;
  const first = policy.findIndex((rule) => fits(rule, question, context));
  const rule = policy[first];
  if (rule?.decide !== 'approve') return rule && { number: first + 1, rule };
  const rest = { ...question, ...unnamedBy(rule, question, context) };
  const isDenial = ({ decide: decision, path, command }: PermissionRule): boolean =>
    decision === 'deny' && (path !== undefined || command !== undefined);
  const denying = policy.findIndex((one, index) => index > first && isDenial(one) && fits(one, rest, context));
  return { number: (denying === -1 ? first : denying) + 1, rule: policy[denying] ?? rule };
}

/** What a rule that approves does not name. */
function unnamedBy(
  { path, command }: PermissionRule, { paths, commands, parts }: PermissionQuestion, context: PermissionContext,
): Pick<PermissionQuestion, 'paths' | 'commands' | 'parts'> {
  const isNamed = path === undefined ? () => false : pathTest(path, context, true);
  const isMeant = command === undefined ? () => false : glob(command, inCommand);
  const isUnmeant = (one: string): boolean => !isMeant(one);
  const unnamed = paths.filter((one) => !isNamed(one));
  return { paths: unnamed, commands: commands.filter(isUnmeant), parts: parts.filter(isUnmeant) };
}

function fits(rule: PermissionRule, question: PermissionQuestion, context: PermissionContext): boolean {
  const { tools, paths, commands, parts } = question;
  const isApproval = rule.decide === 'approve';
  const most = <T>(all: readonly T[], test: (one: T) => boolean): boolean => (isApproval ? all.length > 0 && all.every(test) : all.some(test));
  const { path, command } = rule;
  if (rule.kind !== undefined && !fitsKind(rule.kind, question, isApproval)) return false;
  if (rule.tool !== undefined && !tools.some(glob(rule.tool, inText))) return false;
  if (path !== undefined && !most(paths, pathTest(path, context, isApproval))) return false;
  if (command === undefined) return true;
  if (isApproval) return most(commands, glob(command, inCommand));
  return [...commands, ...parts].flatMap(wideCommands).some(glob(command, inText));
}

/** A command is of the kind `execute`, whatever its own; to deny or ask, a move, and what tells no kind, is an edit, too. */
function fitsKind(pattern: string, question: PermissionQuestion, isApproval: boolean): boolean {
  const { kind, paths } = question;
  const isMeant = glob(pattern, inText);
  const isKnown = isKnownKind(kind);
  if (isMeant(kind)) return true;
  if (isCommand(question) && isMeant('execute') && !(isApproval && isKnown)) return true;
  return !isApproval && (kind === 'move' || (!isKnown && paths.length > 0)) && isMeant('edit');
}

/** @param isReal Only real paths fit, not the name of a link. */
function pathTest(
  pattern: string, { workdir, realPathOf }: PermissionContext, isReal: boolean,
): (path: string) => boolean {
  const isMeant = glob(isAbsolute(pattern) ? pattern : resolve(workdir, pattern), inName);
  return (path) => {
    const real = realPathOf(path);
    return (real !== undefined && isMeant(real)) || (!isReal && isMeant(resolve(workdir, path)));
  };
}
