/**
 * What an agent does, as its updates tell: for clients, and for the decisions about its permission requests.
 * @module
 */
import { Progress, messageTextOf } from '../acp/progress.ts';
import { ToolCallHistory } from '../permissions/tool-call-history.ts';

export class AgentActivity {
  readonly progress: Progress = new Progress();
  readonly toolCalls: ToolCallHistory = new ToolCallHistory();

  /** @param update An update of the session. @returns the part of the agent's message in it. */
  apply(update: unknown): string | undefined {
    this.progress.apply(update);
    this.toolCalls.apply(update);
    return messageTextOf(update);
  }
}
