/**
 * Finds the terminal that is meant: by its id, the beginning of its id, its name, or as the newest one.
 * @module
 */
import type { Sidecar, Terminal } from '../../client/client.ts';
import { CommandError } from '../failure.ts';

/** Text for the help of every command that takes a terminal. */
export const aboutTerminal =
  'TERMINAL is a name, an id, a unique beginning of one, or "last" (or "-") for the newest that runs.';

/** Prefers running terminals to ended ones. @throws CommandError when no terminal, or more than one, fits. */
export async function resolveTerminal(sidecar: Sidecar, reference: string): Promise<Terminal> {
  const terminals = await sidecar.terminals.list();
  const running = terminals.filter(({ status }) => status === 'running');
  if (reference === 'last' || reference === '-') {
    const [newest] = running;
    if (newest) return newest;
    throw new CommandError('Cannot find the last terminal: none runs', { hint: 'See: sidecar terminals' });
  }
  for (const among of [running, terminals]) {
    const [first, ...others] = matching(among, reference);
    if (first === undefined) continue;
    // Among the ended terminals of a name, the newest is meant.
    if (others.length === 0 || (among === terminals && first.name === reference)) return first;
    const shown = [first, ...others].slice(0, 4).map(({ terminalId }) => terminalId).join(', ');
    throw new CommandError(
      `Cannot tell which terminal "${reference}" is: there are ${others.length + 1} (${shown}${
        others.length > 3 ? ' …' : ''
      })`,
      { hint: 'Give the id: see sidecar terminals' },
    );
  }
  throw new CommandError(`Cannot find terminal "${reference}": no terminal has that name, and no id begins with it`, {
    hint: 'See: sidecar terminals',
  });
}

function matching(terminals: readonly Terminal[], reference: string): readonly Terminal[] {
  const named = terminals.filter(({ terminalId, name }) => terminalId === reference || name === reference);
  return named.length > 0 || reference === ''
    ? named
    : terminals.filter(({ terminalId }) => terminalId.startsWith(reference.toLowerCase()));
}
