/**
 * Agrees with an agent on a version of the protocol: the request `initialize`, and what its answer says of the agent.
 * @module
 */
import { type AcpVersion, agentDefaults } from '../../protocol/agents/exec-fields.ts';
import { AgentFailure } from './agent-failure.ts';
import { type AgentAbilities, abilitiesOf } from './v1.ts';
import { abilitiesOfV2, isV2 as isAnswerOfV2 } from './v2.ts';

export interface HandshakeOptions {
  /** The version of this program. */
  readonly version: string;
  /** The highest version of the protocol to agree on. */
  readonly acpVersion: AcpVersion | undefined;
  /** Whether the agent may ask questions. */
  readonly mayElicit: boolean;
  /** Whether a login may be done in a terminal. */
  readonly hasTerminals: boolean;
}

export interface Handshake {
  readonly abilities: AgentAbilities;
  readonly isV2: boolean;
}

type Initialize = (params: object) => Promise<unknown>;

/** @param initialize Sends the request. @throws AgentFailure */
export async function handshake(initialize: Initialize, options: HandshakeOptions): Promise<Handshake> {
  const { acpVersion = agentDefaults.acpVersion, hasTerminals } = options;
  const answer = await agreeOn(acpVersion, initialize, options);
  const isV2 = acpVersion === 2 && isAnswerOfV2(answer);
  const abilities = isV2 ? abilitiesOfV2(answer, { hasTerminals }) : abilitiesOf(answer, { hasTerminals });
  const { protocolVersion = 'unknown' } = abilities;
  // An agent that only repeats the requested version is treated as one of version 1.
  if (!isV2 && protocolVersion !== 1 && protocolVersion !== acpVersion) {
    const why = `it speaks version ${protocolVersion} of the protocol, not ${acpVersion}`;
    throw new AgentFailure('unsupported_version', `Cannot talk to the agent: ${why}`);
  }
  return { abilities, isV2 };
}

/** Agents of version 1 that refuse any other version are asked again. @returns the answer to `initialize`. */
async function agreeOn(
  protocolVersion: AcpVersion, initialize: Initialize, options: HandshakeOptions,
): Promise<unknown> {
  try {
    return await initialize(initializeParams(protocolVersion, options));
  } catch (error) {
    if (protocolVersion === 1 || !(error instanceof AgentFailure) || error.code !== 'agent_error') throw error;
    return await agreeOn(1, initialize, options);
  }
}

function initializeParams(
  protocolVersion: AcpVersion, { version, mayElicit, hasTerminals }: HandshakeOptions,
): object {
  const info = { name: 'machine-sidecar', title: 'machine-sidecar', version };
  const elicitation = mayElicit ? { elicitation: { form: {}, url: {} } } : {};
  const capabilities = { ...elicitation, ...(hasTerminals ? { auth: { terminal: {} } } : {}) };
  return {
    protocolVersion,
    clientCapabilities: {
      fs: { readTextFile: true, writeTextFile: true }, terminal: true,
      session: { configOptions: { boolean: {} }, notices: {}, compaction: {} }, ...elicitation,
      ...(hasTerminals ? { auth: { terminal: true } } : {}),
    },
    clientInfo: info,
    ...(protocolVersion === 2 ? { info, capabilities } : {}),
  };
}
