/**
 * Sets the model, effort and mode of an agent's session: as its job requests them, as clients change them later, and as
 * the permissions of the job need them.
 * @module
 */
import { defined } from '../../base/defined.ts';
import type { AgentEvent } from '../../protocol/agents/events.ts';
import type { AgentChange } from '../../protocol/agents/calls.ts';
import type { PermissionPolicy } from '../../protocol/agents/permission-policy.ts';
import { AgentFailure } from '../acp/agent-failure.ts';
import { type AskingSettings, askingSettings, asksNothing } from '../acp/asking-mode.ts';
import {
  type ConfigCategory, type ConfigPreferences, type RefusedChoice, configCategories,
} from '../acp/config-choices.ts';
import type { Conversation } from '../acp/conversation.ts';
import type { CommandResult, RunnerConfig } from '../runner-config.ts';
import { configPreferencesOf } from '../to-runner-config.ts';
import { refusal } from './command-results.ts';
import type { PermissionBroker } from './permission-broker.ts';

export interface AgentSettingsOptions {
  readonly config: RunnerConfig;
  readonly broker: PermissionBroker;
  readonly emit: (event: AgentEvent) => void;
}

type Failure = ReturnType<typeof refusal>;

export class AgentSettings {
  readonly #options: AgentSettingsOptions;
  #changes: AgentChange = {};
  /** The agent's own settings that the permissions have replaced, by the id of the choice. */
  readonly #replaced = new Map<string, AskingSettings['settings'][number]>();
  /** Whether the request, or a change of it, chose the mode: the permissions then choose none. */
  #isModeChosen = false;

  constructor(options: AgentSettingsOptions) {
    this.#options = options;
  }

  /** All changes since the job began. */
  get changes(): AgentChange {
    return this.#changes;
  }

  /** Applies what the job requests to a new session. @throws AgentFailure */
  async initialize(conversation: Conversation): Promise<void> {
    const { config: { wishes, isStrict }, broker, emit } = this.#options;
    const unavailable = await conversation.choose(wishes);
    for (const one of unavailable) emit({ type: 'config_refused', ...one });
    const [first] = unavailable;
    if (first && isStrict) {
      throw new AgentFailure(
        'config_not_supported',
        `Cannot choose ${describeChoice(first)}`,
        { details: { refused: unavailable } },
      );
    }
    this.#isModeChosen = wishes.mode !== undefined && unavailable.every(({ category }) => category !== 'mode');
    if (!this.#isModeChosen) await this.#applyPolicy(broker.policy, conversation);
  }

  /**
   * Changes nothing if the agent is known to lack the mode, model or effort. Never rejects.
   * @param conversation Absent if only the permissions change before the agent has started.
   */
  async change(
    { permissions, ...config }: AgentChange,
    conversation: Conversation | undefined,
  ): Promise<Partial<CommandResult>> {
    const preferences = configPreferencesOf(config);
    const [missing] = conversation?.missing(preferences) ?? [];
    if (missing) return unavailableChoice(missing);
    if (preferences.mode !== undefined) this.#isModeChosen = true;
    const followsPolicy = permissions !== undefined && !this.#isModeChosen && conversation !== undefined;
    if (followsPolicy) {
      const failure = this.#checkPolicy(permissions, conversation);
      if (failure) return failure;
    }
    if (permissions !== undefined) this.#options.broker.policy = permissions;
    const policyFailure = followsPolicy
      ? await this.#applyPolicy(permissions, conversation).then(() => undefined, notChanged)
      : undefined;
    const { selected, failure } = policyFailure || !conversation
      ? { selected: {}, failure: policyFailure }
      : await selectAll(preferences, conversation);
    return this.#report({ ...defined({ permissions }), ...selected }, failure);
  }

  #report(changed: AgentChange, failure: Failure | undefined): Partial<CommandResult> {
    if (Object.keys(changed).length === 0) return failure ?? {};
    this.#changes = { ...this.#changes, ...changed };
    this.#options.emit({ type: 'changed', ...changed });
    if (!failure) return { changed };
    const before = `changed before that: ${Object.keys(changed).join(', ')}`;
    return { ...failure, changed, message: `${failure.message}; ${before}` };
  }

  #checkPolicy(policy: PermissionPolicy, { choices }: Conversation): Failure | undefined {
    const { config } = this.#options;
    const { unknownModes } = askingSettings(choices, policy, config);
    if (!unknownModes || config.isTrusted === true) return undefined;
    const advice = 'start another job with them: some agents can be made to ask only at their start';
    return refusal('unfit', `${describeUnenforceable(policy, unknownModes)}; ${advice}`);
  }

  /** Sets a mode in which the agent asks, or restores its own mode if it need not ask. @throws AgentFailure */
  async #applyPolicy(policy: PermissionPolicy, conversation: Conversation): Promise<void> {
    const { config, emit } = this.#options;
    const { settings, unknownModes } = askingSettings(conversation.choices, policy, config);
    if (unknownModes && config.isTrusted !== true) throw policyNotSupported(policy, unknownModes);
    const restored = asksNothing(policy) ? [...this.#replaced.values()] : [];
    for (const { choice, value } of [...settings, ...restored]) {
      await conversation.set(choice, value);
      const { id, current } = choice;
      if (restored.length > 0) this.#replaced.delete(id);
      else if (current !== undefined && !this.#replaced.has(id)) this.#replaced.set(id, { choice, value: current });
      if (choice.category !== 'permissions') emit({ type: 'changed', agentMode: value });
    }
  }
}

/** Selects one value after the other, until one fails. Never rejects. */
async function selectAll(
  preferences: ConfigPreferences,
  conversation: Conversation,
): Promise<{ readonly selected: AgentChange; readonly failure: Failure | undefined }> {
  let selected: AgentChange = {};
  for (const category of configCategories) {
    const wanted = preferences[category];
    if (wanted === undefined) continue;
    const value = await conversation.select(category, wanted).catch((error: unknown) => error as Error);
    if (value instanceof Error) return { selected, failure: notChanged(value) };
    if (typeof value !== 'string') return { selected, failure: unavailableChoice(value) };
    selected = { ...selected, [fieldOf[category]]: value };
  }
  return { selected, failure: undefined };
}

/** The fields of a change on the wire. */
const fieldOf: { readonly [category in ConfigCategory]: keyof AgentChange } = {
  model: 'model', thought_level: 'effort', mode: 'agentMode',
};

function unavailableChoice(choice: RefusedChoice): Failure {
  return refusal('unfit', `there is no ${describeChoice(choice)}`);
}

function describeChoice({ category, wanted, offered }: RefusedChoice): string {
  return `${category} ${wanted}: ${offered.length === 0 ? 'it offers none' : `it has ${offered.join(', ')}`}`;
}

function notChanged(error: unknown): Failure {
  const isEnded = error instanceof AgentFailure && error.code === 'agent_ended';
  return refusal(isEnded ? 'ended' : 'failed', (error as Error).message);
}

/** The failure of an agent that has no mode that is known to ask for permission. */
function policyNotSupported(policy: PermissionPolicy, modes: readonly string[]): AgentFailure {
  const advice = 'choose one by agentMode, or continue all the same with "trustAgent": true';
  return new AgentFailure('policy_not_supported', `${describeUnenforceable(policy, modes)}; ${advice}`, {
    details: { modes },
  });
}

function describeUnenforceable(policy: PermissionPolicy, modes: readonly string[]): string {
  const what = typeof policy === 'string' ? policy : 'by rules';
  const known = `none of the agent's modes (${modes.join(', ')}) is known to ask for permission`;
  return `Cannot enforce the permissions ${what}: ${known}`;
}
