/**
 * The terminals of a server.
 * @module
 */
import type { Terminal, TerminalId } from '../protocol/terminals.ts';
import { drained, terminalAnswer, terminalsAnswer } from './answers.ts';
import { type AttachOptions, Attachment } from './socket/attachment.ts';
import type { Endpoint } from './transport/endpoint.ts';
import { problemOf } from './transport/failure.ts';
import type { ActOptions, Cancellable } from './jobs.ts';
import { newIdempotencyKey, send, sendJson } from './transport/request.ts';

export interface TerminalStart {
  /** Run by `/bin/sh -c`. Default: the user's shell. */
  readonly command?: string;
  readonly workdir?: string;
  readonly env?: { readonly [name: string]: string };
  /** Default 80. */
  readonly cols?: number;
  /** Default 24. */
  readonly rows?: number;
  readonly name?: string;
}

/** Milliseconds that the processes of a terminal may take to end. */
const closeHoldMs = 30_000;
/** Milliseconds that a program may take to read what is typed. */
const typeHoldMs = 15_000;

export class Terminals {
  readonly #endpoint: Endpoint;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /**
   * Opens a terminal, once however often the request has to be sent.
   *
   * @throws ProblemError `not_supported`, `too_many_terminals`, `invalid_request` …
   */
  start(request: TerminalStart = {}, options: ActOptions = {}): Promise<Terminal> {
    return sendJson(
      this.#endpoint,
      { method: 'POST', path: '/terminals', body: JSON.stringify(request), ...keyed(options) },
      terminalAnswer,
    );
  }

  /** Newest first, for a while including terminals that have ended. */
  list(options: Cancellable = {}): Promise<readonly Terminal[]> {
    return sendJson(this.#endpoint, { method: 'GET', path: '/terminals', ...options }, terminalsAnswer);
  }

  /** @throws ProblemError `terminal_not_found`. */
  get(id: TerminalId, options: Cancellable = {}): Promise<Terminal> {
    return sendJson(this.#endpoint, { method: 'GET', path: pathOf(id), ...options }, terminalAnswer);
  }

  /** The end of the terminal's output as text, without escape sequences. */
  screen(id: TerminalId, options: Cancellable = {}): Promise<string> {
    const call = {
      method: 'GET', path: `${pathOf(id)}/screen`, headers: { Accept: 'text/plain' }, ...options,
    } as const;
    return send(this.#endpoint, call, (response) => response.text());
  }

  /**
   * Types, once however often the request has to be sent.
   *
   * @throws ProblemError `terminal_ended`, `stdin_full` where the program does not read.
   */
  async input(id: TerminalId, data: string, options: ActOptions = {}): Promise<void> {
    const body = JSON.stringify({ data });
    await send(this.#endpoint, {
      method: 'POST', path: `${pathOf(id)}/input`, body, holdMs: typeHoldMs, ...keyed(options),
    }, drained);
  }

  /** @throws ProblemError `terminal_ended`. */
  async resize(
    id: TerminalId,
    size: { readonly cols: number; readonly rows: number },
    options: ActOptions = {},
  ): Promise<void> {
    const body = JSON.stringify({ cols: size.cols, rows: size.rows });
    await send(this.#endpoint, {
      method: 'POST', path: `${pathOf(id)}/resize`, body, holdMs: typeHoldMs, ...keyed(options),
    }, drained);
  }

  /** Ends the terminal's program and all that it started, and forgets it. @throws ProblemError `terminal_not_found`. */
  async close(id: TerminalId, options: Cancellable = {}): Promise<void> {
    const { base } = this.#endpoint;
    await send(this.#endpoint, {
      method: 'DELETE', path: pathOf(id), accept: [404], holdMs: closeHoldMs, ...options,
    }, async (response, attempt) => {
      // Gone at a second try: the first one closed it, and its answer was lost.
      if (response.status === 404 && attempt === 0) throw await problemOf(response, base);
      await drained(response);
    });
  }

  /**
   * Attaches to a terminal: receives its latest output, then what comes, and types, across lost connections and
   * restarts of the server. Resolves once it is attached. Leaving never ends the terminal.
   *
   * @throws ProblemError `terminal_not_found`, `unreachable` …
   */
  attach(id: TerminalId, options: AttachOptions = {}): Promise<Attachment> {
    return Attachment.open(this.#endpoint, id, options);
  }
}

function keyed({ signal, idempotencyKey = newIdempotencyKey() }: ActOptions): ActOptions {
  return { signal, idempotencyKey };
}

function pathOf(id: TerminalId): string {
  return `/terminals/${encodeURIComponent(id)}`;
}
