/**
 * The calls of terminals.
 * @module
 */
import { endpoint, webSocketEndpoint } from '../endpoint.ts';
import {
  attachQuery, binaryProtocol, inputAccepted, inputRequest, ownTerminalQuery, screenQuery, sizeRequest, terminal,
  terminalDeleted, terminalList, terminalRequest, terminalSize,
} from '../terminals.ts';

const dialogue = 'The client sends text messages of JSON: '
  + '{"type":"input","data":"…"}, {"type":"resize","cols":80,"rows":24}, {"type":"ping"}. '
  + 'The server sends the output as text, never cut within a character; '
  + 'behind a NUL, as JSON, {"type":"pong"}, {"type":"error","message":"…"}, '
  + '{"type":"skipped","bytes":N,"offset":N} where the client read so slowly that this much is gone, '
  + 'and last {"type":"exit","exitCode":0}. '
  + `Under the subprotocol ${binaryProtocol} output comes in binary frames, and binary frames of the client are input. `
  + 'The size is that of the client that acted last. Close codes: 1000 ended, 1011 cannot start, '
  + '1013 too many terminals, or too many wrong keys from this address, 3401 no key.';

export const openTerminal = endpoint('POST', '/terminals', {
  summary: 'Opens a terminal',
  description: 'It outlives connections, restarts and updates of the server, '
    + 'until its program ends or it is closed.',
  body: terminalRequest,
  example: { command: 'htop', cols: 120, rows: 40 },
  isIdempotent: true,
  answers: { 201: { description: 'Its program runs', body: terminal } },
  problems: ['not_supported', 'too_many_terminals', 'storage_full', 'unavailable', 'shutting_down'],
});

export const listTerminals = endpoint('GET', '/terminals', {
  summary: 'Lists terminals, newest first',
  description: 'Those that have ended, too, for an hour and at most 64 of them.',
  answers: { 200: { description: 'The terminals', body: terminalList } },
});

export const getTerminal = endpoint('GET', '/terminals/:id', {
  summary: 'Shows a terminal',
  answers: { 200: { description: 'The terminal', body: terminal } },
  problems: ['terminal_not_found'],
});

export const closeTerminal = endpoint('DELETE', '/terminals/:id', {
  summary: 'Closes a terminal',
  description: 'Its program and all that it started get SIGHUP and, 2 seconds later, SIGKILL. '
    + 'Answers once they are gone.',
  answers: { 200: { description: 'It is closed and forgotten', body: terminalDeleted } },
  problems: ['terminal_not_found'],
});

export const getScreen = endpoint('GET', '/terminals/:id/screen', {
  summary: 'The end of the output as text',
  description: 'Without escape sequences, at most 256 KiB of it; with raw all bytes that are kept, as they came. '
    + 'Also of a terminal that has ended, as long as it is listed.',
  query: screenQuery,
  answers: { 200: { description: 'The text', type: 'text/plain' } },
  problems: ['terminal_not_found', 'unavailable'],
});

export const typeInput = endpoint('POST', '/terminals/:id/input', {
  summary: 'Types into a terminal',
  description: 'Where the program reads nothing for 10 s: stdin_full.',
  body: inputRequest,
  example: { data: 'ls\r' },
  isIdempotent: true,
  answers: { 200: { description: 'It was typed', body: inputAccepted } },
  problems: ['terminal_not_found', 'terminal_ended', 'stdin_full', 'outcome_unknown'],
});

export const resizeTerminal = endpoint('POST', '/terminals/:id/resize', {
  summary: 'Changes the size of a terminal',
  description: 'Until another client that is attached acts: the size is that of the client that acted last.',
  body: sizeRequest,
  example: { cols: 120, rows: 40 },
  isIdempotent: true,
  answers: { 200: { description: 'It has it', body: terminalSize } },
  problems: ['terminal_not_found', 'terminal_ended', 'stdin_full'],
});

export const attachToTerminal = webSocketEndpoint('/terminals/:id/attach', {
  summary: 'Attaches to a terminal',
  description: 'Replays the scrollback, then live output; leaving does not end it. First comes '
    + '{"type":"attached","offset":N,…}: the offset of the next byte of output, so that after=OFFSET continues '
    + `where an earlier connection broke. ${dialogue}`,
  access: 'ticket',
  query: attachQuery,
  protocols: [binaryProtocol],
  problems: ['terminal_not_found'],
});

const ownTerminal = {
  summary: 'A terminal of this connection\'s own, which ends with it',
  description: dialogue,
  access: 'ticket',
  query: ownTerminalQuery,
  protocols: [binaryProtocol],
} as const;

export const openOwnTerminal = webSocketEndpoint('/terminal', ownTerminal);

/** The same on the second listener, for front ends that know only the dialogue. */
export const openOwnTerminalAtRoot = webSocketEndpoint('/', ownTerminal);
