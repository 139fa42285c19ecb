/** One-time tickets: who has the key gets one, and whoever presents it first is let in, once and soon. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { object, optional, text } from '../../../src/base/parse.ts';
import type { Route } from '../../../src/http/routing/route.ts';
import { Tickets, ticketRoutes } from '../../../src/http/auth/tickets.ts';
import { ProblemError } from '../../../src/protocol/problem.ts';
import type { Ticket } from '../../../src/protocol/tickets.ts';
import { connectWebSocket } from '../../../src/websocket/client.ts';
import { openApi } from '../../../src/http/docs/openapi.ts';
import { throwsWith } from '../../support/errors.ts';
import { type Served, key, serve, webSocket } from '../../support/http-server.ts';

const documentation = { summary: 'For tests' };

function routes(tickets: Tickets): Route[] {
  return [
    ...ticketRoutes(tickets),
    webSocket('/page', { access: 'ticket', query: object({ command: optional(text()) }), documentation }, ({ query, isAuthenticated }) => (socket) => {
      socket.send(JSON.stringify({ query, isAuthenticated }));
    }),
    webSocket('/page/bare', { access: 'ticket', documentation }, () => (socket) => { socket.send('in'); }),
    webSocket('/key-only', { documentation }, () => (socket) => { socket.send('in'); }),
  ];
}

interface Asked extends Served {
  /** The first message, or the code that it was closed with, or the code of the problem. */
  readonly enter: (path: string, headers?: { readonly [name: string]: string }) => Promise<string | number>;
  readonly issue: () => Promise<Ticket>;
}

async function served(t: TestContext, now?: () => number): Promise<Asked> {
  const tickets = new Tickets(now ? { now } : {});
  const server = await serve(t, { routes: routes(tickets), tickets });
  return {
    ...server,
    async enter(path, headers = {}) {
      try {
        const socket = await connectWebSocket(`ws://127.0.0.1:${server.port}${path}`, { headers });
        t.after(() => socket.terminate());
        return await new Promise<string | number>((resolve) => {
          socket.onMessage = (data) => resolve(String(data));
          socket.onClose = ({ code }) => resolve(code);
        });
      } catch (error) {
        if (error instanceof ProblemError) return error.code;
        throw error;
      }
    },
    async issue() {
      const { status, text: body } = await server.ask('POST /tickets');
      assert.equal(status, 201);
      return JSON.parse(body) as Ticket;
    },
  };
}

test('a ticket lets in once, and is nobody else\'s business', async (t) => {
  const { enter, issue, logged, ask } = await served(t);
  const { ticket, expiresAt } = await issue();
  assert.match(ticket, /^[\w-]{43}$/);
  assert.ok(Math.abs(expiresAt - Date.now() / 1000 - 30) < 5);
  assert.equal(await enter(`/page?command=sh&ticket=${ticket}`), '{"query":{"command":"sh"},"isAuthenticated":true}');
  assert.equal(await enter(`/page?command=sh&ticket=${ticket}`), 3401);
  const other = await issue();
  assert.notEqual(other.ticket, ticket);
  assert.equal(await enter(`/page/bare?ticket=${other.ticket}`), 'in');
  await ask('GET /page?ticket=visible');
  for (const secret of [ticket, other.ticket, 'visible']) assert.equal(logged().includes(secret), false);
  assert.match(logged(), /"path":"\/page"/);
});

test('a ticket holds for 30 seconds by the clock, and not when the clock goes back', async (t) => {
  let now = 1_700_000_000_000;
  const { enter, issue } = await served(t, () => now);
  const early = await issue();
  assert.equal(early.expiresAt, 1_700_000_030);
  const late = await issue();
  now += 29_999;
  assert.equal(await enter(`/page/bare?ticket=${early.ticket}`), 'in');
  now += 1;
  assert.equal(await enter(`/page/bare?ticket=${late.ticket}`), 3401);
  const future = await issue();
  now -= 1;
  assert.equal(await enter(`/page/bare?ticket=${future.ticket}`), 3401);
});

test('what is no ticket lets nobody in; the key does, with or without one', async (t) => {
  const { enter, issue } = await served(t);
  const { ticket } = await issue();
  for (const query of ['', '?ticket=', '?ticket=x', `?ticket=${ticket}x`, `?ticket=${ticket}&ticket=${ticket}`, '?ticket=%ff', `?Ticket=${ticket}`]) {
    assert.equal(await enter(`/page/bare${query}`), 3401, query);
  }
  assert.equal(await enter('/page/bare', { 'X-API-Key': key }), 'in');
  assert.equal(await enter('/page/bare?ticket=x', { 'X-API-Key': key }), 'in');
  // With the key it is not looked at, so it still holds.
  assert.equal(await enter(`/page/bare?ticket=${ticket}`, { 'X-API-Key': key }), 'in');
  assert.equal(await enter(`/page/bare?ticket=${ticket}`), 'in');
  assert.equal(await enter('/page/bare?nonsense=1', { 'X-API-Key': key }), 'invalid_request');
});

test('only a route that takes tickets takes one', async (t) => {
  const { enter, issue, ask } = await served(t);
  const { ticket } = await issue();
  assert.equal(await enter(`/key-only?ticket=${ticket}`), 3401);
  assert.equal((await ask(`POST /tickets?ticket=${ticket}`, ['X-API-Key: '])).status, 401);
  assert.equal(await enter(`/page/bare?ticket=${ticket}`), 'in');
});

test('a page of another site is refused, with a ticket too, which is not used up by that', async (t) => {
  const { enter, issue } = await served(t);
  const { ticket } = await issue();
  assert.equal(await enter(`/page/bare?ticket=${ticket}`, { Origin: 'https://evil.example' }), 'origin_not_allowed');
  assert.equal(await enter(`/page/bare?ticket=${ticket}`), 'in');
});

test('POST /tickets needs the key', async (t) => {
  const { ask } = await served(t);
  assert.equal((await ask('POST /tickets', ['X-API-Key: '])).status, 401);
  assert.equal((await ask('GET /tickets')).status, 405);
});

test('1024 may be unused; one that is used or expired makes room', () => {
  let now = 0;
  const tickets = new Tickets({ now: () => now });
  const all = Array.from({ length: 1024 }, () => tickets.issue().ticket);
  assert.equal(new Set(all).size, 1024);
  const isTooMany = (error: unknown): boolean =>
    error instanceof ProblemError && error.code === 'too_many_tickets' && error.status === 429 && error.headers['Retry-After'] === '30';
  assert.throws(() => tickets.issue(), isTooMany);
  assert.equal(tickets.redeem(all[500] ?? ''), true);
  assert.equal(tickets.redeem(all[500] ?? ''), false);
  tickets.issue();
  assert.throws(() => tickets.issue(), isTooMany);
  now = 30_000;
  assert.equal(tickets.redeem(all[0] ?? ''), false);
  assert.equal(tickets.redeem(tickets.issue().ticket), true);
});

test('the documents show the ticket of a route as a parameter', () => {
  const document = openApi({ title: 'x', version: '1', routes: routes(new Tickets()) }) as unknown as {
    paths: { [path: string]: { get: { parameters: { name: string; in: string; required: boolean }[] } } };
  };
  assert.deepEqual(document.paths['/page']?.get.parameters.map(({ name, in: where, required }) => [name, where, required]),
    [['command', 'query', false], ['ticket', 'query', false]]);
});

test('a ticket that is asked for again under its Idempotency-Key is the same one, until it expires', () => {
  let now = 1_700_000_000_000;
  const tickets = new Tickets({ now: () => now });
  const asked = { key: 'k', hash: 'h' };
  const first = tickets.issue(asked);
  assert.deepEqual(tickets.issue(asked), first);
  assert.notEqual(tickets.issue({ ...asked, key: 'other' }).ticket, first.ticket);
  throwsWith(() => tickets.issue({ ...asked, hash: 'other' }), { type: ProblemError, code: 'idempotency_mismatch' });
  assert.equal(tickets.redeem(first.ticket), true);
  // It is used up, which the client that lost the answer must learn.
  assert.deepEqual(tickets.issue(asked), first);
  assert.equal(tickets.redeem(first.ticket), false);
  now += 30_000;
  assert.notEqual(tickets.issue(asked).ticket, first.ticket);
});
