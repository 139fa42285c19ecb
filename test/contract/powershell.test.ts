/** PowerShell as a persistent shell, where it is installed. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { until } from '../support/wait.ts';
import { ask, submit } from '../support/client.ts';
import { isInstalled, session } from '../support/shell.ts';

const skip = process.platform === 'win32' ? 'needs FIFOs' : isInstalled('pwsh') ? false : 'pwsh is not installed';

describe('a persistent pwsh', { skip }, () => {
  it('keeps what a job did for the next one', async (t) => {
    const { run } = await session(t, 'pwsh');
    const steps: readonly (readonly [command: string, stdout: string, exitCode?: number])[] = [
      ['Set-Location /usr; $plain = 5; $env:EXPORTED = 6', ''],
      ['"$PWD"; $plain; sh -c \'echo $EXPORTED\'', '/usr\n5\n6\n'],
      ['function Greet($name) { "hello $name" }', ''],
      ['Greet you', 'hello you\n'],
      ['Set-Alias twice Greet', ''],
      ['twice you', 'hello you\n'],
      ['Set-StrictMode -Version Latest; Import-Module Microsoft.PowerShell.Utility', ''],
      ['@\'\nhere\n\'@', 'here\n'],
      ['"no end `', '', 1],
      ['break', ''],
      ['"still here"; return; "not this"', 'still here\n'],
      ['throw "what"', '', 1],
      ['sh -c "exit 7"', '', 7],
      ['sh -c "exit 7"; "fine"', 'fine\n'],
      ['Get-Item /does/not/exist', '', 1],
      ['Write-Host -NoNewline a; Write-Host b; Write-Warning c', 'ab\nWARNING: c\n'],
      ['"$PWD $plain"', '/usr 5\n'],
    ];
    for (const [command, stdout, exitCode = 0] of steps) {
      const job = await run(command);
      assert.deepEqual([command, job.stdout, job.exitCode], [command, stdout, exitCode], job.stderr);
    }
  });

  it('shows objects as on a screen, in their place, and errors in stderr', async (t) => {
    const { run } = await session(t, 'pwsh');
    const job = await run('"first"; [pscustomobject]@{ Name = "one"; Size = 5 }; "last"; sh -c "echo wrong >&2"; Write-Error bad');
    assert.match(job.stdout ?? '', /^first\n[^]*Name\s+Size[^]*one\s+5[^]*last\n$/);
    assert.match(job.stderr ?? '', /^wrong\n[^]*bad/);
  });

  it('is nudged through the stdin of what runs', async (t) => {
    const { server } = await session(t, 'pwsh');
    const id = await submit(server, { mode: 'persistent_shell', sessionKey: 'main', shell: 'pwsh', command: 'sh -c \'read line; echo "got $line"\'' });
    await until(async () => (await ask(server, `GET /jobs/${id}`)).json<Job>().status === 'running', { what: 'it runs' });
    await ask(server, `POST /jobs/${id}/nudge`, { body: { input: 'hello\n' } });
    assert.equal((await ask(server, `GET /jobs/${id}?wait=30`)).json<Job>().stdout, 'got hello\n');
  });

  it('ends with the command that ends it, and begins anew with its bootstrap', async (t) => {
    const { run } = await session(t, 'pwsh');
    const bootstrapCommand = '$boot = "strapped"';
    assert.equal((await run('$lost = 1; "$boot"', { bootstrapCommand })).stdout, 'strapped\n');
    assert.equal((await run('exit 3')).exitCode, 3);
    assert.equal((await run('"$boot $lost"')).stdout, 'strapped \n');
  });

  it('is cancelled with its state kept, where a program runs', async (t) => {
    const { server, run } = await session(t, 'pwsh');
    const { stdout: pid } = await run('$kept = 5; "$PID"');
    const id = await submit(server, { mode: 'persistent_shell', sessionKey: 'main', shell: 'pwsh', command: 'sleep 1000' });
    await until(async () => (await ask(server, `GET /jobs/${id}`)).json<Job>().status === 'running', { what: 'it runs' });
    await ask(server, `POST /jobs/${id}/cancel`);
    assert.equal((await run('"$kept $PID"')).stdout, `5 ${pid}`);
  });
});
