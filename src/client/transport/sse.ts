/**
 * Reads `text/event-stream` (WHATWG HTML, §9.2.6) as it arrives.
 * @module
 */

export interface ReceivedEvent {
  /** `message` where the server named none. */
  readonly event: string;
  readonly id: string | undefined;
  readonly data: string;
}

/** The longest event in UTF-16 units: a longer one is not that of a machine-sidecar. */
const maxEventLength = 64 * 2 ** 20;

/**
 * Turns pieces of a stream into events, wherever the stream was cut; time is linear in the length, also of one long
 * line. An event that is not complete at the end is dropped, as the standard says.
 */
export class EventParser {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #line: string[] = [];
  #lineLength = 0;
  #isAfterCr = false;
  #isFirst = true;
  #data: string[] = [];
  #event = '';
  #id: string | undefined;

  /** @throws RangeError when an event is longer than 64 Mi characters. */
  push(bytes: Uint8Array): ReceivedEvent[] {
    const events: ReceivedEvent[] = [];
    let text = this.#decoder.decode(bytes, { stream: true });
    if (this.#isFirst && text !== '') {
      this.#isFirst = false;
      if (text.startsWith('\ufeff')) text = text.slice(1);
    }
    if (this.#isAfterCr && text !== '') {
      this.#isAfterCr = false;
      if (text.startsWith('\n')) text = text.slice(1);
    }
    let start = 0;
    for (const end of text.matchAll(/\r\n|\n|\r/g)) {
      this.#keep(text.slice(start, end.index));
      start = end.index + end[0].length;
      this.#isAfterCr = end[0] === '\r' && start === text.length;
      const line = this.#line.length === 1 ? this.#line[0] ?? '' : this.#line.join('');
      [this.#line, this.#lineLength] = [[], 0];
      const event = this.#take(line);
      if (event) events.push(event);
    }
    this.#keep(text.slice(start));
    return events;
  }

  #keep(piece: string): void {
    if (piece === '') return;
    this.#line.push(piece);
    this.#lineLength += piece.length;
    if (this.#lineLength > maxEventLength) throw new RangeError(`An event is longer than ${maxEventLength} characters`);
  }

  #take(line: string): ReceivedEvent | undefined {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const rest = colon === -1 ? '' : line.slice(colon + 1);
    const value = rest.startsWith(' ') ? rest.slice(1) : rest;
    if (field === 'data') this.#data.push(value);
    else if (field === 'event') this.#event = value;
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    // A line that starts with a colon is a comment: the server is still there. Other fields are to be ignored.
    return undefined;
  }

  #dispatch(): ReceivedEvent | undefined {
    const lines = this.#data;
    const event = this.#event === '' ? 'message' : this.#event;
    [this.#data, this.#event] = [[], ''];
    return lines.length === 0 ? undefined : { event, id: this.#id, data: lines.join('\n') };
  }
}
