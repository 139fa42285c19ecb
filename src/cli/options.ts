/**
 * The options that several commands have. A command takes those that it needs, and may describe one in its own words.
 * @module
 */

export const sharedOptions = {
  json: { type: 'boolean', description: 'As JSON' },
  workdir: {
    type: 'string', short: 'C', value: 'DIR',
    description: 'Where it runs. Default: here for the local server, else where the server runs',
  },
  env: {
    type: 'string', short: 'e', multiple: true, value: 'NAME[=VALUE]',
    description: 'Laid over the environment of the server; without =VALUE that of here is passed on. May be repeated',
  },
  name: { type: 'string', value: 'NAME', description: 'Its name in lists' },
  label: { type: 'string', multiple: true, value: 'NAME=VALUE', description: 'A label for filters; may be repeated' },
  timeout: { type: 'string', value: 'TIME', description: 'End it after that time: 90, 5m, 1h. Default: none' },
  'auth-method': { type: 'string', value: 'ID', description: 'How to log in to the agent' },
} as const;
