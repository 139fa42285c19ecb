/**
 * The settings of an agent's session that have a list of values: its options and its modes.
 * @module
 */
import { fieldsOf } from '../../base/loose.ts';
import { type ConfigChoice, choicesOf, modesOf } from './v1.ts';

/** The values to set, by category, where the agent has them; each is a value's id or its name. */
export type ConfigPreferences = { readonly [category in ConfigCategory]?: string };
export const configCategories = ['model', 'thought_level', 'mode'] as const;
export type ConfigCategory = (typeof configCategories)[number];

/** A value that the agent does not have, and the values that it offers instead. */
export interface RefusedChoice {
  readonly category: ConfigCategory;
  readonly wanted: string;
  readonly offered: readonly string[];
}

/** Ids of options without a category, by the category that they stand for. */
const idsByCategory: { readonly [category in ConfigCategory]: readonly string[] } = {
  model: ['model'], thought_level: ['thought_level', 'reasoning_effort', 'effort'], mode: ['mode'],
};

export class ConfigChoices {
  #all: readonly ConfigChoice[] = [];

  get all(): readonly ConfigChoice[] {
    return this.#all;
  }

  /** @param answer The answer that opened the session. */
  readSession(answer: unknown): void {
    const { configOptions, modes } = fieldsOf(answer);
    const choices = choicesOf(configOptions);
    const hasMode = choices.some(({ category }) => category === 'mode');
    this.#all = hasMode ? choices : [...choices, ...modesOf(modes)];
  }

  /** Replaces the options; modes that are set by `session/set_mode` stay. */
  replaceOptions(configOptions: unknown): void {
    this.#all = [...choicesOf(configOptions), ...this.#all.filter(({ by }) => by === 'mode')];
  }

  setMode(current: string): void {
    this.#all = this.#all.map((choice) => (choice.by === 'mode' ? { ...choice, current } : choice));
  }

  setCurrent({ id, by }: ConfigChoice, current: string): void {
    this.#all = this.#all.map((choice) => (choice.id === id && choice.by === by ? { ...choice, current } : choice));
  }

  find(
    category: ConfigCategory, wanted: string,
  ): { readonly choice: ConfigChoice; readonly value: string } | RefusedChoice {
    const choice = this.#all.find((one) => one.category === category)
      ?? this.#all.find(({ id, category: own }) => own === undefined && idsByCategory[category].includes(id));
    const value = choice?.values.find((one) => one.value === wanted)
      ?? choice?.values.find(({ name }) => name.toLowerCase() === wanted.toLowerCase());
    if (choice && value) return { choice, value: value.value };
    return { category, wanted, offered: choice?.values.map((one) => one.value) ?? [] };
  }

  /** The values that the agent does not have, as far as that is known before anything is set. */
  missing(preferences: ConfigPreferences): readonly RefusedChoice[] {
    return configCategories.flatMap((category) => {
      const wanted = preferences[category];
      // Another model may have other efforts.
      if (wanted === undefined || (category === 'thought_level' && preferences.model !== undefined)) return [];
      const found = this.find(category, wanted);
      return 'wanted' in found ? [found] : [];
    });
  }
}
