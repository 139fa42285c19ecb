/**
 * Turns the settings into flags of a command.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { configOptions, describeSettings, type SettingDescription } from '../../config/settings.ts';
import type { Option, Options } from '../command.ts';

/** Every setting that has a flag, except those in `without`. */
export function settingOptions(without: readonly string[]): Options {
  const settings = describeSettings().filter(({ name }) => !without.includes(name));
  return Object.fromEntries(settings.flatMap((setting) => setting.flags.map((flag) => [flag, option(flag, setting)])));
}

function option(flag: string, { name, description, fallback }: SettingDescription): Option {
  const { type = 'string', multiple } = configOptions[flag] ?? {};
  if (type === 'boolean') return { type, description: flag === name ? description : `Turns --${name} off.` };
  const isGiven = fallback !== undefined && !(Array.isArray(fallback) && fallback.length === 0);
  const text = `${description}${isGiven ? ` Default ${String(fallback)}.` : ''}`;
  return { type, value: 'VALUE', description: text, ...defined({ multiple }) };
}
