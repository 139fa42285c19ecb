/** What the runner of an agent writes into the directory of its job. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { JobFiles } from '../../../src/agents/runner/job-files.ts';
import { type AgentState, stateFile } from '../../../src/agents/runner-config.ts';
import { temporaryFolder } from '../../support/server.ts';

test('each state has its own modification time, however soon it follows another', (t) => {
  const directory = temporaryFolder(t);
  const files = new JobFiles(directory);
  const times = Array.from({ length: 1000 }, () => {
    files.state({} as AgentState);
    return statSync(join(directory, stateFile)).mtimeMs;
  });
  files.close();
  assert.equal(new Set(times).size, times.length);
  assert.deepEqual(times, times.toSorted((a, b) => a - b));
});
