/**
 * The agents, each at the version that was tested: how to install and start it, and what it needs to talk only to the
 * model here.
 *
 * - `env` and `files` (of its home directory) are functions of `{ url, home, isBare }`: of the model's address, the
 *   agent's home, and whether nothing there makes the agent ask for permission.
 * - `mode`: the mode in which it asks, if that is not its default.
 * - `readsByCommand`: it has no other tool to read files.
 * - `isQuick`: it is small, and runs with any Node that we support.
 * - `isMinutely`: it loads a session only in another minute than that in which it began.
 * - `forgetsCancelled`: a turn that was cancelled is not part of its session.
 * - `loadsOnce`: why it continues a session only once.
 * - `isWithoutMcpPrograms`: it takes MCP servers from its client only by HTTP.
 */
import { join } from 'node:path';

export const model = 'interop-model';
const key = 'interop-key';
/** A model that Codex knows: the tools that it offers depend on the model. */
const codexModel = 'gpt-5.2';
/** A newer Node for agents that need it; npm has it as a package for each platform. */
export const node22 = {
  name: 'node22', packages: [`node-${process.platform}-${process.arch}@22.23.3`],
  program: `node-${process.platform}-${process.arch}/bin/node`,
};

const claude = {
  env: ({ url, home }) => ({
    ANTHROPIC_BASE_URL: `${url}/anthropic`, ANTHROPIC_API_KEY: key, CLAUDE_CONFIG_DIR: join(home, '.claude'),
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', DISABLE_TELEMETRY: '1', DISABLE_AUTOUPDATER: '1',
    DISABLE_ERROR_REPORTING: '1',
  }),
  files: () => ({
    '.claude.json': json({
      hasCompletedOnboarding: true, customApiKeyResponses: { approved: [key], rejected: [] },
    }),
  }),
};

const codex = {
  env: ({ home }) => ({
    CODEX_HOME: join(home, '.codex'), OPENAI_API_KEY: key, CODEX_API_KEY: key, NO_BROWSER: '1',
    MODEL_PROVIDER: 'interop',
  }),
  readsByCommand: true,
  files: ({ url }) => ({ '.codex/config.toml': codexConfig(url) }),
};

export const recipes = [
  {
    name: 'sdk-example', packages: ['@agentclientprotocol/sdk@0.14.1'],
    program: '@agentclientprotocol/sdk/dist/examples/agent.js', args: [], isExample: true, isQuick: true,
    env: () => ({}), files: () => ({}),
  },
  {
    name: 'gemini', packages: ['@google/gemini-cli@0.61.0'], program: '@google/gemini-cli/bundle/gemini.js',
    args: ['--acp'], isMinutely: true, isQuick: true, forgetsCancelled: true,
    loadsOnce: 'a session that it has loaded it deletes at its next start, '
      + 'unless general.sessionRetention.enabled is false',
    env: ({ url }) => ({
      GEMINI_API_KEY: key, GOOGLE_GEMINI_BASE_URL: `${url}/gemini`, GEMINI_CLI_TRUST_WORKSPACE: 'true',
      GEMINI_TELEMETRY_ENABLED: 'false',
    }),
    files: () => ({
      '.gemini/settings.json': json({
        security: { auth: { selectedType: 'gemini-api-key' } },
        general: {
          enableAutoUpdate: false, enableAutoUpdateNotification: false, sessionRetention: { enabled: false },
        },
        privacy: { usageStatisticsEnabled: false },
        telemetry: { enabled: false },
        model: { name: 'gemini-2.5-flash' },
      }),
    }),
  },
  {
    name: 'opencode', packages: ['opencode-ai@1.18.33'], program: 'opencode-ai/bin/opencode.exe', isNative: true,
    args: ['acp'],
    env: ({ home }) => ({
      XDG_CONFIG_HOME: join(home, '.config'), XDG_DATA_HOME: join(home, '.local/share'),
      XDG_CACHE_HOME: join(home, '.cache'), XDG_STATE_HOME: join(home, '.local/state'),
      OPENCODE_DISABLE_AUTOUPDATE: '1', OPENCODE_DISABLE_MODELS_FETCH: '1', OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
      OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
    }),
    files: ({ url, isBare }) => ({
      '.config/opencode/opencode.json': json({
        model: `interop/${model}`, small_model: `interop/${model}`, autoupdate: false, share: 'disabled',
        ...(isBare ? {} : { permission: { edit: 'ask', bash: 'ask' } }),
        provider: {
          interop: {
            npm: '@ai-sdk/openai-compatible',
            name: 'Interop',
            options: { baseURL: `${url}/openai/v1`, apiKey: key },
            models: { [model]: { name: model, tool_call: true } },
          },
        },
      }),
    }),
  },
  {
    name: 'claude', packages: ['@agentclientprotocol/claude-agent-acp@0.100.0'],
    program: '@agentclientprotocol/claude-agent-acp/dist/index.js', needsNode22: true, args: [], ...claude,
  },
  {
    name: 'claude-zed', packages: ['@zed-industries/claude-code-acp@0.16.2'],
    program: '@zed-industries/claude-code-acp/dist/index.js', args: [], ...claude,
  },
  {
    name: 'codex-zed', packages: ['@zed-industries/codex-acp@0.16.0'],
    program: '@zed-industries/codex-acp/bin/codex-acp.js', args: [], mode: 'read-only', ...codex,
  },
  {
    name: 'codex', packages: ['@agentclientprotocol/codex-acp@2.6.0'],
    program: '@agentclientprotocol/codex-acp/dist/index.js', args: [], mode: 'read-only', ...codex,
  },
  {
    name: 'copilot', packages: ['@github/copilot@1.0.102'], program: '@github/copilot/npm-loader.js',
    args: ['--acp', '--stdio'], isWithoutMcpPrograms: true,
    env: ({ url, home }) => ({
      COPILOT_OFFLINE: 'true', COPILOT_AUTO_UPDATE: 'false', COPILOT_PROVIDER_BASE_URL: `${url}/openai/v1`,
      COPILOT_PROVIDER_API_KEY: key, COPILOT_MODEL: model, COPILOT_HOME: join(home, '.copilot'),
    }),
    files: () => ({}),
  },
  {
    name: 'qwen', packages: ['@qwen-code/qwen-code@0.24.4'], program: '@qwen-code/qwen-code/cli-entry.js',
    needsNode22: true, args: ['--acp'], mode: 'default',
    env: ({ url }) => ({
      OPENAI_API_KEY: key, OPENAI_BASE_URL: `${url}/openai/v1`, OPENAI_MODEL: model, QWEN_TELEMETRY_ENABLED: 'false',
    }),
    files: () => ({
      '.qwen/settings.json': json({
        security: { auth: { selectedType: 'openai' }, folderTrust: { enabled: false } },
        general: { enableAutoUpdate: false, disableAutoUpdate: true },
        privacy: { usageStatisticsEnabled: false },
        telemetry: { enabled: false },
        model: { name: model },
      }),
    }),
  },
];

function codexConfig(url) {
  return `model = "${codexModel}"
model_provider = "interop"
check_for_update_on_startup = false

[model_providers.interop]
name = "Interop"
base_url = "${url}/openai/v1"
env_key = "OPENAI_API_KEY"
wire_api = "responses"

[analytics]
enabled = false
`;
}

function json(value) {
  return JSON.stringify(value, null, 2);
}
