/**
 * Shows what an agent does: its message on stdout, as data; everything else on stderr, one line each.
 * @module
 */
import { createHash } from 'node:crypto';
import { escapeText, exposeText } from '../../base/text/escape.ts';
import { fieldsOf, textOf } from '../../base/loose.ts';
import { Progress, messageTextOf } from '../../agents/acp/progress.ts';
import type { AgentChange, AgentEvent, PlanEntry, ToolCall, ToolDiff } from '../../client/client.ts';
import { type Colour, type Paint, oneLine } from '../io/print.ts';
import { write } from '../io/streams.ts';
import { diffLines } from './diff-lines.ts';

export interface ViewOptions {
  readonly paint: Paint;
  /** Shows only the message. */
  readonly isQuiet: boolean;
  /** Shows not even the message. */
  readonly isSilent: boolean;
}

/** Lines shown of one diff. */
const maxDiffLines = 60;
const stageMarks = { begun: ['»', 'cyan'], completed: ['✓', 'green'], failed: ['✗', 'red'] } as const;
const maxPlanEntries = 40;
const maxLineCharacters = 400;
const newline = 0x0a;

export class AgentView {
  readonly #options: ViewOptions;
  readonly #progress = new Progress();
  /** The stage that was last shown of each tool call. */
  readonly #shownStages = new Map<string, string>();
  /** Hashes of the diffs that were shown: each update of a call repeats its diffs. */
  readonly #shownDiffs = new Set<string>();
  #plan = '';
  /** The last notice that was shown. */
  #lastNotice = '';
  #lastByte = newline;

  constructor(options: ViewOptions) {
    this.#options = options;
  }

  async show(event: AgentEvent): Promise<void> {
    switch (event.type) {
      case 'update': return event.isReplay ? undefined : this.#update(event);
      case 'config_refused': {
        const { category, wanted, offered } = event;
        return this.line(
          'yellow', `! it has no ${category} ${wanted}${offered.length === 0 ? '' : `, but ${offered.join(', ')}`}`,
        );
      }
      case 'changed': return this.line('dim', `» ${changeInWords(event)}`);
      case 'permission': return this.#permission(event);
      case 'fault': return this.line('yellow', `! ${event.what}`);
      case 'stop': return this.endLine();
      case 'agent':
      case 'session':
      case 'prompt':
      case 'elicitation':
      case 'error': return undefined;
    }
  }

  /** Writes a line for people to stderr, below any unfinished line of the message. */
  async line(colour: Colour | undefined, text: string): Promise<void> {
    if (this.#options.isQuiet || this.#options.isSilent) return;
    await this.endLine();
    const cut = oneLine(text.length > maxLineCharacters ? `${text.slice(0, maxLineCharacters)}…` : text);
    await write(`${colour === undefined ? cut : this.#options.paint(colour, cut)}\n`, process.stderr);
  }

  /** Ends an unfinished line of the message: what follows is not part of it. */
  async endLine(): Promise<void> {
    if (this.#lastByte !== newline) await write('\n');
    this.#lastByte = newline;
  }

  async #update(event: AgentEvent & { readonly type: 'update' }): Promise<void> {
    const text = messageTextOf(event.update);
    if (text !== undefined) return this.#text(text);
    const { sessionUpdate, toolCallId: id } = fieldsOf(event.update);
    if (sessionUpdate === 'agent_message_chunk' && event.isCut) {
      return this.line('yellow', '! a part of the message is too long to be shown here; "sidecar logs" shows it');
    }
    const notice = noticeOf(event.update);
    if (notice) return this.#notice(notice);
    if (sessionUpdate !== 'plan' && sessionUpdate !== 'tool_call' && sessionUpdate !== 'tool_call_update') return;
    this.#progress.apply(event.update);
    const { plan, toolCalls } = this.#progress.current;
    if (sessionUpdate === 'plan') return this.#showPlan(plan ?? []);
    const call = toolCalls.find(({ toolCallId }) => toolCallId === id);
    if (call) await this.#call(call);
  }

  async #notice({ colour, text }: { readonly colour: Colour; readonly text: string }): Promise<void> {
    // A compaction is reported again with each part of its summary.
    if (text === this.#lastNotice) return;
    this.#lastNotice = text;
    await this.line(colour, text);
  }

  async #text(text: string): Promise<void> {
    if (this.#options.isSilent || text === '') return;
    // A terminal would act on control characters that the agent only quotes.
    await write(process.stdout.isTTY ? escapeText(text) : text);
    this.#lastByte = text.endsWith('\n') ? newline : 0;
  }

  /** Shows a call when it begins and when it has ended: updates in between say little. */
  async #call(call: ToolCall): Promise<void> {
    const { toolCallId, title, kind, status, diffs, locations } = call;
    const stage = status === 'completed' || status === 'failed' ? status : 'begun';
    const [first] = locations;
    const what = title === '' && first ? first.path : title;
    if (this.#shownStages.get(toolCallId) !== stage) {
      const [mark, colour] = stageMarks[stage];
      await this.line(
        colour, `${mark} ${kind}${what === '' ? '' : `  ${what}`}${stage === 'failed' ? '  (failed)' : ''}`,
      );
    }
    this.#shownStages.set(toolCallId, stage);
    for (const diff of diffs) {
      const known = createHash('sha256').update(JSON.stringify([toolCallId, diff])).digest('base64');
      if (!this.#shownDiffs.has(known)) await this.#diff(diff);
      this.#shownDiffs.add(known);
    }
  }

  async #diff({ path, oldText, newText, isCut }: ToolDiff): Promise<void> {
    await this.line('bold', `  ${path}${oldText === null ? ' (new)' : ''}`);
    const lines = diffLines(oldText, newText);
    for (const { type, text } of lines.slice(0, maxDiffLines)) {
      if (type === 'same') await this.line('dim', `    ${text}`);
      else await this.line(type === 'added' ? 'green' : 'red', `  ${type === 'added' ? '+' : '-'} ${text}`);
    }
    const more = lines.length - maxDiffLines;
    if (more > 0 || isCut) await this.line('dim', `  … ${more > 0 ? `${more} more lines` : 'and more'}`);
  }

  async #showPlan(plan: readonly PlanEntry[]): Promise<void> {
    const shown = JSON.stringify(plan);
    if (shown === this.#plan) return;
    this.#plan = shown;
    const marks = { pending: '[ ]', in_progress: '[>]', completed: '[x]' } as const;
    for (const { content, status } of plan.slice(0, maxPlanEntries)) await this.line(
      status === 'completed' ? 'dim' : undefined, `${marks[status]} ${content}`,
    );
    if (plan.length > maxPlanEntries) await this.line('dim', `… ${plan.length - maxPlanEntries} more`);
  }

  /** Shows only denials: what was allowed shows in what the agent does. */
  async #permission({ decision, reason, permission }: AgentEvent & { readonly type: 'permission' }): Promise<void> {
    if (decision === 'pending') return;
    const kind = permission.options.find(({ optionId }) => optionId === decision)?.kind ?? 'cancelled';
    if (kind.startsWith('allow')) return;
    await this.line('yellow', `! ${kind === 'cancelled' ? 'cancelled' : 'denied'}: ${whatOf(permission)} (${reason})`);
  }
}

/** What an agent tells the user besides its answer: a notice, or that it compacts its context. */
function noticeOf(update: unknown): { readonly colour: Colour; readonly text: string } | undefined {
  const { sessionUpdate, severity, title, description, status, error } = fieldsOf(update);
  const about = (what: unknown): string => (textOf(what) === undefined ? '' : `: ${textOf(what)}`);
  if (sessionUpdate === 'notice' && textOf(title) !== undefined) {
    const [mark, colour] = severities.get(severity) ?? (['i', 'dim'] as const);
    return { colour, text: `${mark} ${textOf(title)}${about(description)}` };
  }
  if (sessionUpdate !== 'compaction_update') return undefined;
  if (status === 'failed') return { colour: 'yellow', text: `! the context could not be compacted${about(error)}` };
  if (status === 'completed') return { colour: 'dim', text: '✓ the context is compacted' };
  return { colour: 'dim', text: '» compacting the context' };
}

const severities: ReadonlyMap<unknown, readonly [mark: string, colour: Colour]> = new Map([
  ['warning', ['!', 'yellow']], ['error', ['✗', 'red']],
]);

/** Says which settings of an agent were changed. */
export function changeInWords({ agentMode, model, effort, permissions }: AgentChange): string {
  const policy = typeof permissions === 'object' ? 'by rules' : permissions;
  const words = [['mode', agentMode], ['model', model], ['effort', effort], ['permissions', policy]] as const;
  return words.flatMap(([what, value]) => (value === undefined ? [] : `${what} ${value}`)).join(', ');
}

/**
 * Says in one line what permission is asked for, with its blanks shown: the commands or paths, as they say what will be
 * done; otherwise the title that the agent gives.
 */
export function whatOf({ kind, tools, paths, commands }: {
  readonly [F in 'tools' | 'paths' | 'commands']: readonly string[]
} & { readonly kind: string }): string {
  const named = commands.length > 0 ? commands : paths;
  return `${kind} ${exposeText(named.length > 0 ? named.join(', ') : tools.at(-1) ?? '')}`.trimEnd();
}
