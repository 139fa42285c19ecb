/** A server on loopback: of models, by the APIs of agents, and of tools, by Model Context Protocol at `/mcp/NAME`. */
import { once } from 'node:events';
import http from 'node:http';
import { isForTools, mcpAnswer } from '../mcp.mjs';
import * as anthropic from './anthropic.mjs';
import * as gemini from './gemini.mjs';
import * as openaiChat from './openai-chat.mjs';
import * as openaiResponses from './openai-responses.mjs';
import { answerTo } from './script.mjs';

const apis = { anthropic, gemini, openaiChat, openaiResponses };
const modelName = 'interop-model';

/** @param onRequest Called with each request and its answer, to inspect what an agent does. */
export async function startModel({ onRequest = () => undefined } = {}) {
  const holds = new Holds();
  /** The tool servers whose tools were listed. */
  const asked = new Set();
  let lastId = 0;
  const server = http.createServer((request, response) => {
    const url = new URL(request.url, 'http://localhost');
    serve(request, response, url).catch((error) => {
      onRequest({ path: url.pathname, error: error.stack });
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });

  async function serve(request, response, url) {
    const body = await bodyOf(request);
    if (url.pathname.startsWith('/mcp/')) return serveTools(request, response, { body, url });
    const api = request.method === 'POST' && Object.values(apis).find(({ path }) => path.test(url.pathname));
    if (!api) {
      const other = otherAnswer(request.method, url);
      onRequest({ method: request.method, path: url.pathname, other });
      return void json(
        response, other ? 200 : 404,
        other ?? { error: { message: `No such endpoint: ${url.pathname}`, type: 'not_found_error' } },
      );
    }
    const parsed = api.parse(body, url);
    const answer = answerTo(parsed);
    onRequest({ path: url.pathname, body, answer });
    const about = { id: `interop${lastId += 1}`, model: body.model ?? modelName, freeform: parsed.freeform };
    if (!parsed.isStream) {
      if (answer.hold !== undefined) await holds.wait(answer.hold, response);
      return void json(response, 200, api.whole(answer, about));
    }
    const { opening, closing } = api.stream(answer, about);
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    for (const event of opening) response.write(sse(event));
    if (answer.hold !== undefined) await holds.wait(answer.hold, response);
    for (const event of closing) response.write(sse(event));
    response.end();
  }

  // Streamable HTTP: the server opens no stream and does not answer notifications.
  function serveTools({ method }, response, { body, url }) {
    if (method !== 'POST') return void json(response, 405, {});
    if (isForTools(body)) asked.add(url.pathname);
    const answer = mcpAnswer(body);
    if (answer) return void json(response, 200, answer);
    response.writeHead(202);
    response.end();
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    toolsUrl: (name) => `http://127.0.0.1:${server.address().port}/mcp/${name}`,
    isAskedForTools: (name) => asked.has(`/mcp/${name}`),
    isHeld: (id) => holds.isHeld(id),
    release: (id) => holds.release(id),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Answers that wait until they are released. */
class Holds {
  #waiting = new Map();
  #released = new Set();

  isHeld(id) {
    return this.#waiting.has(id);
  }

  release(id) {
    this.#released.add(id);
    this.#waiting.get(id)?.();
  }

  /** Waits until the answer is released or the agent disconnects. */
  async wait(id, response) {
    if (this.#released.has(id)) return;
    await new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      response.once('close', resolve);
    });
    this.#waiting.delete(id);
  }
}

async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return text.startsWith('{') ? JSON.parse(text) : {};
}

/** The answers to other requests of agents. */
function otherAnswer(method, { pathname }) {
  if (method === 'GET' && /\/models(\/[^/]+)?$/.test(pathname)) {
    const model = {
      id: modelName, object: 'model', type: 'model', name: `models/${modelName}`, display_name: modelName,
      created: 1, created_at: '2026-01-01T00:00:00Z', owned_by: 'interop',
    };
    return pathname.endsWith('/models')
      ? { object: 'list', data: [model], has_more: false, first_id: modelName, last_id: modelName }
      : model;
  }
  if (pathname.endsWith('/messages/count_tokens')) return { input_tokens: 10 };
  if (pathname.endsWith(':countTokens')) return { totalTokens: 10 };
  return undefined;
}

function json(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function sse({ event, data }) {
  return `${event ? `event: ${event}\n` : ''}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
}
