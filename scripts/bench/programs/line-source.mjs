/**
 * Two ways to read a command's output as it is written: following a job over HTTP, and a process such as
 * `ssh host cat`.
 * @module
 */
import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { fail, openConnection, requestBytes } from './raw-http.mjs';

/**
 * Opens the source named by the task. `onText` gets the text as it arrives; over HTTP the framing of chunks is left in
 * (it never splits lines far shorter than a chunk), because removing it would take the client's time.
 *
 * @param {{over: 'http', host: string, port: number, headers: Record<string, string>, jobId:
 * string} | {over: 'process', command: string, args: string[]}} source
 * @param {(text: string) => void} onText
 * @returns {Promise<{write(line: string): Promise<void>}>}
 */
export async function openLineSource(source, onText) {
  return source.over === 'http' ? followJob(source, onText) : runProcess(source, onText);
}

async function followJob(source, onText) {
  const follower = connect({ host: source.host, port: source.port, noDelay: true });
  follower.on('error', (error) => fail(`cannot follow: ${error.message}`));
  follower.on('end', () => fail('the server ended the follow'));
  follower.write(
    requestBytes(source, {
      path: `/jobs/${source.jobId}/stdout?follow=1`,
      headers: source.headers,
    }),
  );
  let head = '';
  follower.on('data', (chunk) => {
    const text = chunk.latin1Slice();
    if (head === undefined) return onText(text);
    head += text;
    const end = head.indexOf('\r\n\r\n');
    if (end === -1) return;
    if (!head.startsWith('HTTP/1.1 200')) fail(`cannot follow: ${head.slice(0, 400)}`);
    const rest = head.slice(end + 4);
    head = undefined;
    if (rest !== '') onText(rest);
  });

  const nudger = await openConnection(source);
  return {
    write: (line) =>
      new Promise((resolve) => {
        const path = `/jobs/${source.jobId}/nudge`;
        const body = JSON.stringify({ input: line });
        const request = requestBytes(source, {
          method: 'POST',
          path,
          headers: source.headers,
          body,
        });
        nudger.send(request, (reply) => {
          if (!reply.body.includes('"nudged":true'))
            fail(`cannot nudge: ${reply.status} ${reply.body}`);
          resolve();
        });
      }),
  };
}

async function runProcess({ command, args }, onText) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.on('error', (error) => fail(`cannot run ${command}: ${error.message}`));
  child.on('exit', (code) => fail(`${command} exited with code ${code}`));
  // The child process ends with this program, whether it finishes, fails or is ended.
  process.on('SIGTERM', () => process.exit(1));
  process.on('exit', () => child.kill());
  child.stdout.on('data', (chunk) => onText(chunk.latin1Slice()));
  return {
    write: async (line) => {
      child.stdin.write(line);
    },
  };
}
