/**
 * The HTTP routes of terminals.
 * @module
 */
import type { Schema } from '../base/parse.ts';
import {
  attachQuery, binaryProtocol, inputRequest, type InputAccepted, ownTerminalQuery, screenQuery, sizeRequest,
  type TerminalDeleted, terminalRequest,
} from '../protocol/terminals.ts';
import { json, stream, text } from '../http/routing/reply.ts';
import { type Route, route, webSocket } from '../http/routing/route.ts';
import { idempotencyHeader, idempotencyOf } from '../process/state/idempotency.ts';
import type { Terminals } from './server/terminals.ts';

/** Longer text would hold up other requests: the conversion takes 0.1 s per megabyte. */
const longestText = 256 * 1024;
const nullable = (type: string): Schema => ({ type: [type, 'null'] });
const terminalSchema: Schema = {
  type: 'object',
  properties: {
    terminalId: { type: 'string' },
    name: nullable('string'),
    status: { enum: ['running', 'ended', 'lost'] },
    reason: { enum: ['exit', 'closed', 'idle', 'lifetime', 'disconnected', 'lost', null] },
    command: { type: ['string', 'null'], description: 'null: the shell of the user' },
    workdir: { type: 'string' },
    cols: { type: 'integer' },
    rows: { type: 'integer' },
    pid: { type: 'integer' },
    backend: { enum: ['@lydell/node-pty', 'node-pty', 'script'] },
    ofConnection: { type: 'boolean', description: 'It ends with the WebSocket that it was made for' },
    attached: { type: 'integer' },
    createdAt: { type: 'number', description: 'Unix seconds' },
    lastActivityAt: { type: 'number', description: 'Unix seconds' },
    finishedAt: nullable('number'),
    warnings: {
      type: 'array', items: { type: 'string' }, description: 'What its caller should know, in words; absent: nothing',
    },
    exitCode: { type: 'integer', description: '128+n for signal n, -1 unknown; absent while it runs' },
  },
};

const dialogue = 'The client sends text messages of JSON: '
  + '{"type":"input","data":"…"}, {"type":"resize","cols":80,"rows":24}, {"type":"ping"}. '
  + 'The server sends the output as text, never cut within a character; '
  + 'behind a NUL, as JSON, {"type":"pong"}, {"type":"error","message":"…"}, '
  + '{"type":"skipped","bytes":N,"offset":N} where the client read so slowly that this much is gone, '
  + 'and last {"type":"exit","exitCode":0}. '
  + `Under the subprotocol ${binaryProtocol} output comes in binary frames, and binary frames of the client are input. `
  + 'The size is that of the client that acted last. Close codes: 1000 ended, 1011 cannot start, '
  + '1013 too many terminals, or too many wrong keys from this address, 3401 no key.';

export function terminalRoutes(terminals: Terminals): Route[] {
  return [
    route('POST', '/terminals', {
      body: terminalRequest,
      documentation: {
        summary: 'Opens a terminal',
        description: 'It outlives connections, restarts and updates of the server, '
          + 'until its program ends or it is closed.',
        headers: idempotencyHeader,
        answers: { 201: { description: 'Its program runs', schema: terminalSchema } },
        problems: [
          'idempotency_mismatch', 'not_supported', 'too_many_terminals', 'storage_full', 'unavailable', 'shutting_down',
        ],
      },
    }, async (request) => {
      const view = await terminals.startOnce(request.body, idempotencyOf(request, 'POST /terminals'));
      return json(201, view, { Location: `/terminals/${view.terminalId}` });
    }),

    route('GET', '/terminals', {
      documentation: {
        summary: 'Lists terminals, newest first',
        description: 'Those that have ended, too, for an hour and at most 64 of them.',
        answers: {
          200: {
            description: 'The terminals',
            schema: { type: 'object', properties: { terminals: { type: 'array', items: terminalSchema } } },
          },
        },
      },
    }, () => json(200, { terminals: terminals.list().map(({ view }) => view) })),

    route('GET', '/terminals/:id', {
      documentation: {
        summary: 'Shows a terminal',
        answers: { 200: { description: 'The terminal', schema: terminalSchema } },
        problems: ['terminal_not_found'],
      },
    }, ({ params }) => json(200, terminals.get(params.id).view)),

    route('DELETE', '/terminals/:id', {
      documentation: {
        summary: 'Closes a terminal',
        description: 'Its program and all that it started get SIGHUP and, 2 seconds later, SIGKILL. '
          + 'Answers once they are gone.',
        answers: { 200: { description: 'It is closed and forgotten', schema: { type: 'object', properties: {
          deleted: { const: true }, terminalId: { type: 'string' } } } } },
        problems: ['terminal_not_found'],
      },
    }, async ({ params }) => {
      const terminal = terminals.get(params.id);
      await terminals.remove(terminal);
      const body: TerminalDeleted = { deleted: true, terminalId: terminal.id };
      return json(200, body);
    }),

    route('GET', '/terminals/:id/screen', {
      query: screenQuery,
      documentation: {
        summary: 'The end of the output as text',
        description: 'Without escape sequences, at most 256 KiB of it; with raw all bytes that are kept, as they came. '
          + 'Also of a terminal that has ended, as long as it is listed.',
        answers: { 200: { description: 'The text', type: 'text/plain' } },
        problems: ['terminal_not_found', 'unavailable'],
      },
    }, async ({ params, query }) => {
      const bytes = await terminals.get(params.id).scrollback();
      if (query.raw === true) return stream(200, { 'Content-Length': bytes.length }, (sink) => sink.write(bytes));
      const { plainText } = await import('./server/plain-text.ts');
      return text(200, 'text/plain; charset=utf-8', plainText(bytes.subarray(-longestText).toString()));
    }),

    route('POST', '/terminals/:id/input', {
      body: inputRequest,
      documentation: {
        summary: 'Types into a terminal',
        description: 'Where the program reads nothing for 10 s: stdin_full.',
        headers: idempotencyHeader,
        answers: {
          200: {
            description: 'It was typed',
            schema: { type: 'object', properties: { writtenBytes: { type: 'integer' } } },
          },
        },
        problems: ['terminal_not_found', 'terminal_ended', 'stdin_full', 'idempotency_mismatch', 'outcome_unknown'],
      },
    }, async (request) => json(200, await terminals.once(
      request.params.id,
      request,
      'input',
      async (terminal, begin): Promise<InputAccepted> => {
        const bytes = Buffer.from(request.body.data);
        await terminal.type(bytes, begin);
        return { writtenBytes: bytes.length };
      },
    ))),

    route('POST', '/terminals/:id/resize', {
      body: sizeRequest,
      documentation: {
        summary: 'Changes the size of a terminal',
        description: 'Until another client that is attached acts: the size is that of the client that acted last.',
        headers: idempotencyHeader,
        answers: {
          200: {
            description: 'It has it',
            schema: { type: 'object', properties: { cols: { type: 'integer' }, rows: { type: 'integer' } } },
          },
        },
        problems: ['terminal_not_found', 'terminal_ended', 'stdin_full', 'idempotency_mismatch'],
      },
    }, async (request) => json(200, await terminals.once(request.params.id, request, 'resize', async (terminal) => {
      await terminal.resize(request.body);
      return request.body;
    }))),

    webSocket('/terminals/:id/attach', {
      access: 'ticket',
      query: attachQuery,
      protocols: [binaryProtocol],
      documentation: {
        summary: 'Attaches to a terminal',
        description: 'Replays the scrollback, then live output; leaving does not end it. First comes '
          + '{"type":"attached","offset":N,…}: the offset of the next byte of output, so that after=OFFSET continues '
          + `where an earlier connection broke. ${dialogue}`,
        problems: ['terminal_not_found'],
      },
    }, ({ params, query }) => {
      const terminal = terminals.get(params.id);
      return (socket) => {
        // No message is read until the module is loaded.
        socket.pause();
        void import('./server/attach.ts').then(({ attach }) =>
          attach(socket, terminal, { isReadonly: query.readonly ?? false, after: query.after }));
      };
    }),

    ownTerminal('/terminal', terminals),
  ];
}

/** Routes of the second listener, for front ends that know only the dialogue. */
export function terminalPortRoutes(terminals: Terminals): Route[] {
  return [ownTerminal('/', terminals), ownTerminal('/terminal', terminals)];
}

function ownTerminal(path: string, terminals: Terminals): Route {
  return webSocket(path, {
    access: 'ticket',
    query: ownTerminalQuery,
    protocols: [binaryProtocol],
    documentation: { summary: 'A terminal of this connection\'s own, which ends with it', description: dialogue },
  }, ({ query }) => (socket) => {
    socket.pause();
    void import('./server/attach.ts').then(({ attachOwn }) => attachOwn(socket, terminals, query));
  });
}
