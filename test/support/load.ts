/**
 * Clients that send requests without a pause, and count what goes wrong.
 *
 * @module
 */
import { Agent, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { atEnd, key } from './server.ts';

export interface Load {
  /** Answers with the status that was expected. */
  readonly answered: () => number;
  /** What went wrong, each. */
  readonly failures: () => readonly string[];
  /** The longest time between two answers, in milliseconds. */
  readonly longestGapMs: () => number;
  readonly stop: () => Promise<void>;
}

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly status: number;
}

const submission: Asked = { method: 'POST', path: '/exec?wait=10', body: '{"command":"echo hello","labels":{"of":"load"}}', status: 200 };
const question: Asked = { method: 'GET', path: '/health', status: 200 };

/** Each request on a connection of its own: `clients` at a time, every fourth a job. @param options.ca Whom to trust under HTTPS. */
export function newConnections(t: TestContext, url: string, clients: number, { ca }: { ca?: Buffer } = {}): Load {
  return start(t, clients, async (turn) => {
    const asked = turn % 4 === 0 ? submission : question;
    // A wait that ends early, as the server that held it is replaced, is answered with 202.
    return { expected: [asked.status, 202], answer: await ask(url, { ...asked, ca }) };
  });
}

/**
 * Each client on one connection for as long as the server leaves it open. A server may close one that is idle at any moment, also when a
 * request is on its way to it: then it is repeated on another connection, as every HTTP client does (RFC 9112 §9.3.1).
 */
export function keptConnections(t: TestContext, url: string, clients: number): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const load = start(t, clients, async () => ({ expected: [question.status], answer: await ask(url, { ...question, agent }) }));
  return { ...load, stop: () => load.stop().finally(() => agent.destroy()) };
}

function start(t: TestContext, clients: number, turn: (count: number) => Promise<{ expected: readonly number[]; answer: Answer }>): Load {
  const failures: string[] = [];
  let [answered, longestGapMs, lastAt, isOver] = [0, 0, performance.now(), false];
  const loops = Array.from({ length: clients }, async (_, client) => {
    for (let count = client; !isOver; count += 1) {
      try {
        const { expected, answer: { status, text } } = await turn(count);
        if (!expected.includes(status)) failures.push(`${status} ${text}`);
        const now = performance.now();
        longestGapMs = Math.max(longestGapMs, now - lastAt);
        lastAt = now;
        answered += 1;
      } catch (error) {
        failures.push((error as Error).message);
      }
      // Others need the processor, too.
      await sleep(2);
    }
  });
  const stop = async (): Promise<void> => {
    isOver = true;
    await Promise.all(loops);
  };
  // Also where the test fails before.
  atEnd(t, stop);
  return {
    answered: () => answered,
    failures: () => failures,
    longestGapMs: () => longestGapMs,
    stop,
  };
}

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Asks once, with the key; on a connection of its own unless there is an agent. */
export function ask(
  url: string, asked: Omit<Asked, 'status'> & { readonly agent?: Agent | undefined; readonly ca?: Buffer | undefined },
): Promise<Answer> {
  const { method, path, body, agent, ca } = asked;
  const address = new URL(path, url);
  const request = address.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const sent = request(address, {
      method, agent: agent ?? false, ...(ca === undefined ? {} : { ca }),
      headers: { 'X-API-Key': key, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
    }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => { text += chunk.toString(); });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on('error', (error) => {
      if (sent.reusedSocket) resolve(ask(url, asked));
      else reject(error);
    });
    sent.end(body);
  });
}
