/**
 * The terminals of a server.
 * @module
 */
import {
  closeTerminal, getScreen, getTerminal, listTerminals, openTerminal, resizeTerminal, typeInput,
} from '../protocol/endpoints/terminals.ts';
import type { Terminal, TerminalId } from '../protocol/terminals.ts';
import { type AttachOptions, Attachment } from './socket/attachment.ts';
import type { Transport } from './transport/transport.ts';
import type { ActOptions, Cancellable } from './jobs.ts';
import { call, callOf, confirm, confirmDeletion, keyed } from './transport/call.ts';
import { send } from './transport/request.ts';

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
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Opens a terminal, once however often the request has to be sent.
   *
   * @throws ProblemError `not_supported`, `too_many_terminals`, `invalid_request` …
   */
  start(request: TerminalStart = {}, options: ActOptions = {}): Promise<Terminal> {
    return call(this.#transport, openTerminal, { body: request, ...keyed(options) });
  }

  /** Newest first, for a while including terminals that have ended. */
  async list({ signal }: Cancellable = {}): Promise<readonly Terminal[]> {
    return (await call(this.#transport, listTerminals, { signal })).terminals;
  }

  /** @throws ProblemError `terminal_not_found`. */
  get(id: TerminalId, { signal }: Cancellable = {}): Promise<Terminal> {
    return call(this.#transport, getTerminal, { params: { id }, signal });
  }

  /** The end of the terminal's output as text, without escape sequences. */
  screen(id: TerminalId, { signal }: Cancellable = {}): Promise<string> {
    const request = callOf(getScreen, { params: { id }, headers: { Accept: 'text/plain' }, signal });
    return send(this.#transport, request, (response) => response.text());
  }

  /**
   * Types, once however often the request has to be sent.
   *
   * @throws ProblemError `terminal_ended`, `stdin_full` where the program does not read.
   */
  async input(id: TerminalId, data: string, options: ActOptions = {}): Promise<void> {
    await confirm(this.#transport, typeInput, {
      params: { id }, body: { data }, holdMs: typeHoldMs, ...keyed(options),
    });
  }

  /** @throws ProblemError `terminal_ended`. */
  async resize(
    id: TerminalId,
    size: { readonly cols: number; readonly rows: number },
    options: ActOptions = {},
  ): Promise<void> {
    const body = { cols: size.cols, rows: size.rows };
    await confirm(this.#transport, resizeTerminal, { params: { id }, body, holdMs: typeHoldMs, ...keyed(options) });
  }

  /** Ends the terminal's program and all that it started, and forgets it. @throws ProblemError `terminal_not_found`. */
  close(id: TerminalId, { signal }: Cancellable = {}): Promise<void> {
    return confirmDeletion(this.#transport, closeTerminal, { params: { id }, holdMs: closeHoldMs, signal });
  }

  /**
   * Attaches to a terminal: receives its latest output, then what comes, and types, across lost connections and
   * restarts of the server. Resolves once it is attached. Leaving never ends the terminal.
   *
   * @throws ProblemError `terminal_not_found`, `unreachable` …
   */
  attach(id: TerminalId, options: AttachOptions = {}): Promise<Attachment> {
    return Attachment.open(this.#transport, id, options);
  }
}
