/**
 * `sidecar agents login` and `logout`: the account of an agent on the machine of the server.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { exposeText } from '../../base/text/escape.ts';
import { shellWord } from '../../base/text/shell-word.ts';
import type { Connection } from '../connect.ts';
import { exitCodes } from '../failure.ts';
import { printMessage } from '../io/print.ts';
import { DetachKeys, defaultDetachKeys } from '../terminals/detach-keys.ts';
import { assertTypedStdin, showTerminal, windowSize } from '../terminals/terminal-window.ts';
import { methodsIn, printAgentEnd } from './ending.ts';
import { runQuery, withAgentFlagNames } from './query.ts';

/** Opens a terminal for the agent's login, and attaches to it until it ends. */
export async function login({ sidecar }: Connection, agent: string, wanted: string | undefined): Promise<number> {
  assertTypedStdin('The login is typed at a terminal');
  const job = await withAgentFlagNames(() => sidecar.agents.run({ agent }));
  if (job.status === 'completed') {
    printMessage(`${agent} is logged in already`);
    return exitCodes.ok;
  }
  const methods = job.acpError?.code === 'auth_required' ? methodsIn(job.acpError.details) : [];
  const fit = methods.filter(({ id, argv }) => argv !== undefined && (wanted === undefined || id === wanted));
  const [method] = fit;
  if (method?.argv === undefined || fit.length > 1) {
    printAgentEnd(job);
    return exitCodes.failure;
  }
  const line = method.argv.map(shellWord).join(' ');
  printMessage(`logs in by ${method.name === '' ? method.id : method.name}: ${exposeText(line)}`);
  const terminal = await sidecar.terminals.start({ command: line, ...defined({ env: method.env }), ...windowSize() });
  return showTerminal(sidecar, terminal, { isReadonly: false, detachKeys: new DetachKeys(defaultDetachKeys) });
}

export async function logout({ sidecar }: Connection, agent: string): Promise<number> {
  const job = await runQuery(sidecar, { agent, sessionAction: 'logout' });
  if (job === undefined) return exitCodes.failure;
  printMessage(`${agent} is logged out`);
  return exitCodes.ok;
}
