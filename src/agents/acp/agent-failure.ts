/**
 * The error of an agent job: a message, and a code that stays stable.
 * @module
 */

export type AgentFailureCode =
  | 'auth_required' | 'auth_failed'
  | 'unsupported_version' | 'bad_answer' | 'no_answer'
  | 'agent_ended' | 'agent_error'
  | 'resume_not_supported' | 'sessions_not_supported' | 'mcp_not_supported' | 'content_not_supported'
  | 'config_not_supported'
  | 'permission_denied' | 'policy_not_supported'
  | 'logout_not_supported' | 'busy' | 'not_started';

export class AgentFailure extends Error {
  override readonly name = 'AgentFailure';
  readonly code: AgentFailureCode;
  readonly details: { readonly [field: string]: unknown };

  constructor(
    code: AgentFailureCode,
    message: string,
    options: { readonly cause?: unknown; readonly details?: { readonly [field: string]: unknown } } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.details = options.details ?? {};
  }
}
