/**
 * The HTTP routes of terminals.
 * @module
 */
import { json, stream, text } from '../http/routing/reply.ts';
import { type Route, bind, bindWebSocket } from '../http/routing/route.ts';
import { idempotencyOf } from '../process/state/idempotency.ts';
import { callName, pathOf } from '../protocol/endpoint.ts';
import {
  attachToTerminal, closeTerminal, getScreen, getTerminal, listTerminals, openOwnTerminal, openOwnTerminalAtRoot,
  openTerminal, resizeTerminal, typeInput,
} from '../protocol/endpoints/terminals.ts';
import type { InputAccepted, OwnTerminalQuery, TerminalDeleted, TerminalList } from '../protocol/terminals.ts';
import type { Terminals } from './server/terminals.ts';

/** Longer text would hold up other requests: the conversion takes 0.1 s per megabyte. */
const longestText = 256 * 1024;

export function terminalRoutes(terminals: Terminals): Route[] {
  return [
    bind(openTerminal, async (request) => {
      const view = await terminals.startOnce(request.body, idempotencyOf(request, callName(openTerminal, {})));
      return json(201, view, { Location: pathOf(getTerminal, { id: view.terminalId }) });
    }),

    bind(listTerminals, () => {
      const body: TerminalList = { terminals: terminals.list().map(({ view }) => view) };
      return json(200, body);
    }),

    bind(getTerminal, ({ params }) => json(200, terminals.get(params.id).view)),

    bind(closeTerminal, async ({ params }) => {
      const terminal = terminals.get(params.id);
      await terminals.remove(terminal);
      const body: TerminalDeleted = { deleted: true, terminalId: terminal.id };
      return json(200, body);
    }),

    bind(getScreen, async ({ params, query }) => {
      const bytes = await terminals.get(params.id).scrollback();
      if (query.raw === true) return stream(200, { 'Content-Length': bytes.length }, (sink) => sink.write(bytes));
      const { plainText } = await import('./server/plain-text.ts');
      return text(200, 'text/plain; charset=utf-8', plainText(bytes.subarray(-longestText).toString()));
    }),

    bind(typeInput, async (request) => json(200, await terminals.once(
      request.params.id,
      request,
      'input',
      async (terminal, begin): Promise<InputAccepted> => {
        const bytes = Buffer.from(request.body.data);
        await terminal.type(bytes, begin);
        return { writtenBytes: bytes.length };
      },
    ))),

    bind(resizeTerminal, async (request) => json(200, await terminals.once(
      request.params.id,
      request,
      'resize',
      async (terminal) => {
        await terminal.resize(request.body);
        return request.body;
      },
    ))),

    bindWebSocket(attachToTerminal, ({ params, query }) => {
      const terminal = terminals.get(params.id);
      return (socket) => {
        // No message is read until the module is loaded.
        socket.pause();
        void import('./server/attach.ts').then(({ attach }) =>
          attach(socket, terminal, { isReadonly: query.readonly ?? false, after: query.after }));
      };
    }),

    ownTerminal(openOwnTerminal, terminals),
  ];
}

/** Routes of the second listener, for front ends that know only the dialogue. */
export function terminalPortRoutes(terminals: Terminals): Route[] {
  return [ownTerminal(openOwnTerminalAtRoot, terminals), ownTerminal(openOwnTerminal, terminals)];
}

function ownTerminal(endpoint: typeof openOwnTerminal | typeof openOwnTerminalAtRoot, terminals: Terminals): Route {
  return bindWebSocket<string, OwnTerminalQuery>(endpoint, ({ query }) => (socket) => {
    socket.pause();
    void import('./server/attach.ts').then(({ attachOwn }) => attachOwn(socket, terminals, query));
  });
}
