/**
 * Writes the output of a job to stdout and stderr.
 * @module
 */
import { TextDecoder } from 'node:util';
import { escapeText } from '../../base/text/escape.ts';
import type { Job } from '../../client/client.ts';
import { withoutCommandFile } from './shell-errors.ts';
import { write } from '../io/streams.ts';

/**
 * Output of a command is passed on byte for byte, as `docker logs` does: it may control the terminal.
 * An agent's text quotes what the agent has read, so on a terminal its control characters are made visible.
 * Errors of a persistent shell lose the path of the file that it reads the command from, when they go to stderr.
 */
export class JobOutput {
  readonly #isAgent: boolean;
  readonly #isInShell: boolean;
  readonly #decoders = new Map<NodeJS.WriteStream, TextDecoder>();

  constructor({ mode }: Pick<Job, 'mode'>) {
    this.#isAgent = mode === 'acp';
    this.#isInShell = mode === 'persistent_shell';
  }

  /** @throws OutputError */
  async write(bytes: Uint8Array, stream: NodeJS.WriteStream): Promise<void> {
    if (this.#isInShell && stream === process.stderr) return write(withoutCommandFile(bytes), stream);
    if (!this.#isAgent || !stream.isTTY) return write(bytes, stream);
    let decoder = this.#decoders.get(stream);
    if (decoder === undefined) this.#decoders.set(stream, decoder = new TextDecoder());
    await write(escapeText(decoder.decode(bytes, { stream: true })), stream);
  }
}
