/**
 * The settings as flags of a command.
 * @module
 */
import { configOptions, describeSettings } from '../config.ts';
import type { Options } from './command.ts';

/** Every setting that has a flag, but for those named. */
export function settingOptions(without: readonly string[]): Options {
  const settings = describeSettings().filter(({ name, hasFlag }) => hasFlag && !without.includes(name));
  return Object.fromEntries(settings.map(({ name, description, fallback }) => {
    const isGiven = fallback !== undefined && !(Array.isArray(fallback) && fallback.length === 0);
    const text = `${description}${isGiven ? ` Default ${String(fallback)}.` : ''}`;
    return [name, { ...configOptions[name], type: 'string' as const, value: 'VALUE', description: text }];
  }));
}
