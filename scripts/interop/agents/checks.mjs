/**
 * The checks of each agent. Each check has its own home and working directory, throws if something is wrong, and
 * returns a remark, or `{ limit }`: what the agent itself cannot do, in words.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { doneText, promptOf } from './model/script.mjs';
import { killAll, processesWith } from './processes.mjs';
import { isFinished } from './sidecar.mjs';
import { until } from './wait.mjs';

const steps = ['write', 'read', 'run'];
/** Agents report commands in different ways: by the kind, by the command, or not in the permission request. */
const approveAll = [
  { kind: 'execute', decide: 'approve' }, { command: '**', decide: 'approve' }, { decide: 'approve' },
];
const graceMs = 20_000;
const keptMs = 6 * 60_000 + 5000;
const noCommands = 'it has no commands';

/** What each preset allows of this task: write a new file, change a file that was read, run a command. */
const presets = {
  read: { written: false, changed: false, ran: false },
  edits: { written: true, changed: true, ran: false },
  all: { written: true, changed: true, ran: true },
  /** Each request is answered with a denial. */
  ask: { written: false, changed: false, ran: false },
  deny: { written: false, changed: false, ran: false },
};

/** The checks, in their order; each gets the {@link Trial} of an agent. */
export const checks = {
  async approve(trial) {
    const id = await trial.begin({ permissions: approveAll });
    const job = await trial.sidecar.finished(id);
    trial.expectDoneByRules(job);
    assert.equal(typeof job.acpSessionId, 'string');
    if (!trial.recipe.isExample) assert.equal(typeof job.agentInfo?.name, 'string');
    assert.ok(job.permissionsAsked > 0, 'it asked for permission');
    const streamed = (await trial.sidecar.events(id))
      .filter(({ event }) => event === 'agent').map(({ data }) => data.event);
    assert.deepEqual(streamed.map(({ seq }) => seq), Array.from({ length: job.eventCount }, (_, index) => index + 1));
    // A job also shows the events in the form of other clients: without `seq`, with `timestamp` and `data` beside ours.
    const shown = job.events.filter(({ seq }) => seq !== undefined).map(({ timestamp, data, ...event }) => event);
    assert.deepEqual(streamed.slice(-shown.length), shown);
  },

  async rules(trial) {
    if (trial.recipe.isExample) return { limit: noCommands };
    const rules = [{ command: 'cp **', decide: 'deny' }, ...approveAll];
    const job = await trial.sidecar.finished(await trial.begin({ permissions: rules }));
    assert.deepEqual([trial.read('hello.txt'), trial.read('copy.txt')], [trial.task.content, undefined]);
    assert.match(job.permissionsDenied.at(-1)?.reason ?? '', /rule 1 says deny/);
    return `stop reason ${job.stopReason}`;
  },

  /** In the same turn, a rule approves one exact command, and the next command is denied. */
  async 'narrow rule'(trial) {
    if (trial.recipe.isExample) return { limit: noCommands };
    const commands = { command: 'cp hello.txt copy.txt', secondCommand: 'rm hello.txt' };
    const reading = trial.recipe.readsByCommand
      ? { command: 'cat hello.txt', decide: 'approve' }
      : { kind: 'read', decide: 'approve' };
    const rules = [{ command: 'cp hello.txt *', decide: 'approve' }, { kind: 'edit', decide: 'approve' }, reading];
    const prompt = trial.prompt({ ...commands, steps: [...steps, 'run again'] });
    const job = await trial.sidecar.finished(await trial.begin({ permissions: rules, prompt }));
    assert.deepEqual(
      [trial.read('hello.txt'), trial.read('copy.txt')], [trial.task.content, trial.task.content],
      JSON.stringify(outlineOf(job)),
    );
    assert.deepEqual(
      job.permissionsDenied.map((denied) => denied.commands), [[commands.secondCommand]],
      JSON.stringify(job.permissionsDenied),
    );
    return `stop reason ${job.stopReason}`;
  },

  ...Object.fromEntries(Object.keys(presets).flatMap((preset) => {
    const check = (trial) => trial.expectPreset(preset);
    return preset === 'ask' ? [['ask, bare', check]] : [[preset, check], [`${preset}, bare`, check]];
  })),

  async ask(trial) {
    const { job, answers } = await trial.answered(await trial.begin({ permissions: 'ask' }));
    trial.expectDone(job);
    return `${answers} answered`;
  },

  async 'ask, server killed'(trial) {
    const id = await trial.begin({ permissions: 'ask' });
    const before = await until(async () => (await trial.sidecar.job(id)).pendingPermissions[0], 'it asks');
    await trial.sidecar.kill();
    await trial.sidecar.start();
    assert.deepEqual((await trial.sidecar.job(id)).pendingPermissions, [before]);
    trial.expectDone((await trial.answered(id)).job);
  },

  async again(trial) {
    const id = await trial.begin({ permissions: approveAll, keepAlive: 60 });
    assert.equal((await trial.stopped(id, 1)).stopReason, 'end_turn');
    await trial.second(id);
  },

  async 'turn cancelled'(trial) {
    const id = await trial.beginHeld({ keepAlive: 60 });
    assert.deepEqual(await trial.sidecar.call('POST', `/jobs/${id}/prompt/cancel`), { cancelled: true });
    assert.equal((await trial.stopped(id, 1)).stopReason, 'cancelled');
    trial.model.release(trial.task.id);
    const { forgetsCancelled } = trial.recipe;
    await trial.second(id, { earlier: forgetsCancelled ? 0 : 1 });
    return forgetsCancelled ? { limit: 'it forgets a turn that was cancelled' } : '';
  },

  async resume(trial) {
    const first = await trial.sidecar.finished(await trial.begin({ permissions: approveAll }));
    await trial.untilLoadable();
    const prompt = trial.prompt({ file: 'second.txt' });
    const id = await trial.begin({ permissions: approveAll, acp_session_id: first.acpSessionId, prompt });
    const remark = trial.expectResumed(await trial.sidecar.finished(id), first, 1);
    return trial.recipe.isMinutely
      ? { limit: 'it loads a session only in another minute than that in which it began' }
      : remark;
  },

  /** A prompt to the job of an ended agent starts a job that continues its session; so does the next prompt. */
  async continue(trial) {
    const first = await trial.sidecar.finished(await trial.begin({ permissions: approveAll }));
    const second = await trial.continued(first, first, 1);
    const result = trial.expectResumed(second, first, 1);
    if (result.limit) return result;
    const remark = trial.expectResumed(await trial.continued(first, second, 2), first, 2);
    const { loadsOnce } = trial.recipe;
    return loadsOnce ? { limit: loadsOnce } : remark;
  },

  /** Changes the permissions and the mode of a running agent. */
  async 'mode change, bare'(trial) {
    const { isExample } = trial.recipe;
    const limits = [await trial.expectPresets(['read', 'all', 'deny', 'edits'])];
    limits.push(await trial.expectPresets(['all', 'deny', 'edits', 'all']));
    const id = await trial.begin({ keepAlive: 60, prompt: undefined });
    await until(async () => (await trial.sidecar.job(id)).agentPhase === 'waiting', 'it waits for a prompt');
    const modes = (await trial.offered()).find(({ category }) => category === 'mode')?.values ?? [];
    for (const { value: agentMode } of [...modes.slice(-1), ...modes.slice(0, 1)]) {
      assert.equal((await trial.sidecar.change(id, { agentMode })).agentMode, agentMode);
    }
    await trial.end(id);
    if (isExample) return { limit: `${noCommands} and no modes: only its edit was checked` };
    return limits.find((limit) => limit) ?? modes.map(({ value }) => value).join(', ');
  },

  /** Keeps the agent alive for longer than a turn may take, and than connections are kept. */
  async 'kept alive'(trial) {
    const id = await trial.begin({ permissions: approveAll, keepAlive: 2 * keptMs / 1000, timeout: 300 });
    await trial.stopped(id, 1);
    await sleep(keptMs);
    await trial.second(id);
    return `${keptMs / 1000} s`;
  },

  /** Every setting that an agent offers its client can be chosen. */
  async choices(trial) {
    const offered = await trial.offered();
    const last = (category) => offered.find((choice) => choice.category === category)?.values.at(-1)?.value;
    const wishes = { model: last('model'), effort: last('thought_level'), agentMode: last('mode') };
    const chosen = await trial.sidecar.finished(
      await trial.begin({ prompt: undefined, strictConfig: true, ...wishes }),
    );
    assert.deepEqual(
      [chosen.status, chosen.acpError], ['completed', null], JSON.stringify([wishes, outlineOf(chosen)]),
    );
    const strange = await trial.sidecar.finished(
      await trial.begin({ prompt: undefined, strictConfig: true, model: 'no-such-model' }),
    );
    assert.deepEqual([strange.status, strange.acpError?.code], ['failed', 'config_not_supported']);
    return Object.values(wishes).filter((value) => value !== undefined).join(', ');
  },

  async 'mcp servers'(trial) {
    if (trial.recipe.isExample) return { limit: 'it starts no MCP servers' };
    const mark = join(trial.home, 'mcp-asked');
    const program = {
      name: 'interop-stdio', command: process.execPath,
      args: [fileURLToPath(new URL('mcp-server.mjs', import.meta.url)), mark],
    };
    const remote = { type: 'http', name: 'interop-http', url: trial.model.toolsUrl(trial.task.id) };
    const id = await trial.begin({ permissions: approveAll, mcpServers: [program, remote], keepAlive: 60 });
    await trial.stopped(id, 1);
    await until(() => trial.model.isAskedForTools(trial.task.id), 'it asks the server by HTTP for its tools');
    const { isWithoutMcpPrograms } = trial.recipe;
    if (!isWithoutMcpPrograms) await until(() => existsSync(mark), 'it asks the server on stdio for its tools');
    await trial.end(id);
    return isWithoutMcpPrograms ? { limit: 'it takes MCP servers from its client by HTTP only' } : '';
  },

  async cancel(trial) {
    const id = await trial.beginHeld();
    const from = performance.now();
    await trial.sidecar.cancel(id);
    const job = await trial.sidecar.finished(id);
    const tookMs = Math.round(performance.now() - from);
    assert.equal(job.stopReason, 'cancelled');
    assert.equal(job.reason, 'cancelled');
    return `${tookMs} ms`;
  },

  async 'agent killed'(trial) {
    const id = await trial.beginHeld();
    const agents = processesWith(`HOME=${trial.home}\0`);
    assert.ok(agents.length > 0, 'it has a process');
    return await trial.expectEnded(id, agents);
  },

  async 'leader killed'(trial) {
    const id = await trial.beginHeld();
    const [{ pid }] = (await trial.sidecar.job(id)).events.filter(({ type }) => type === 'agent');
    return await trial.expectEnded(id, [{ pid }]);
  },

  async 'server killed'(trial) {
    const id = await trial.beginHeld();
    await trial.sidecar.kill();
    await trial.sidecar.start();
    assert.ok(!isFinished(await trial.sidecar.job(id)), 'it keeps running');
    trial.model.release(trial.task.id);
    trial.expectDoneByRules(await trial.sidecar.finished(id));
  },
};

/** Checks that take minutes, and run only if they are named. */
export const slowChecks = ['kept alive'];

/** Checks in which only the permissions of the job make the agent ask. */
export const bareChecks = Object.keys(checks).filter((name) => name.endsWith(', bare'));

export const quickChecks = ['approve', 'ask', 'turn cancelled', 'leader killed', 'server killed'];

/** An agent and its task. */
export class Trial {
  #jobs = [];

  /** @param env The agent's. @param argv The command that starts it. @param asked Fields of each request for a job. */
  constructor({ recipe, sidecar, model, argv, env, home, workdir, asked, isBare }) {
    Object.assign(this, { recipe, sidecar, model, argv, env, home, workdir, asked, isBare });
    const id = `${recipe.name}-${process.hrtime.bigint()}`;
    this.task = {
      id, workdir, file: 'hello.txt', content: `content-of-${id}`,
      command: 'cp hello.txt copy.txt && cat copy.txt', steps,
    };
  }

  prompt(more = {}) {
    return this.recipe.isExample ? 'Hello' : promptOf({ ...this.task, ...more });
  }

  async begin({ hold, ...request }) {
    const { argv, env, workdir, asked } = this;
    const mode = this.isBare ? undefined : this.recipe.mode;
    const id = await this.sidecar.run({
      argv, env, workdir, timeout: 600, prompt: this.prompt({ hold }),
      ...(mode && { agentMode: mode, strictConfig: true }), ...asked, ...request,
    });
    this.#jobs.push(id);
    return id;
  }

  /** Starts a job. Resolves in the middle of the turn: a file is written, and the model waits. */
  async beginHeld(request = {}) {
    const id = await this.begin({ permissions: approveAll, hold: 1, ...request });
    await until(async () => {
      const job = await this.sidecar.job(id);
      if (isFinished(job)) throw new Error(`It was finished before: ${JSON.stringify(outlineOf(job))}`);
      return this.recipe.isExample
        ? job.stdout !== ''
        : this.model.isHeld(this.task.id) && this.read('hello.txt') !== undefined;
    }, 'the turn has begun');
    return id;
  }

  /** The settings that the agent offers its client. They come from the stream: a job shows only the last events. */
  async offered() {
    const id = await this.begin({ prompt: undefined });
    const look = await this.sidecar.finished(id);
    assert.deepEqual([look.status, look.stopReason], ['completed', 'no_prompt'], JSON.stringify(outlineOf(look)));
    return (await this.sidecar.events(id)).find(({ data }) => data.event?.type === 'session').data.event.choices;
  }

  /** Makes the agent write a file, change one and run a command, each in its own job. @returns the jobs. */
  async #tryEach(permissions) {
    writeFileSync(join(this.workdir, 'kept.txt'), 'before\n');
    const run = { steps: ['run'], command: 'touch ran.txt' };
    const change = { steps: ['read', 'change'], file: 'kept.txt', before: 'before', isSandboxed: true };
    const tasks = [{ steps: ['write'], file: 'new.txt' }, change, run];
    if (this.recipe.readsByCommand) tasks.push({ ...run, isSandboxed: true });
    const jobs = [];
    for (const task of this.recipe.isExample ? [{}] : tasks) {
      const id = await this.begin({ permissions, prompt: this.prompt(task), ...this.exampleDirectories });
      jobs.push(permissions === 'ask'
        ? (await this.answered(id, 'reject_once')).job
        : await this.sidecar.finished(id));
    }
    return jobs;
  }

  /** Checks that the agent does exactly what the preset allows. */
  async expectPreset(preset) {
    const jobs = await this.#tryEach(preset);
    const shown = JSON.stringify(jobs.map(outlineOf));
    const { isExample, readsByCommand } = this.recipe;
    const done = {
      written: this.hasWritten('new.txt', jobs[0]),
      changed: isExample ? presets[preset].changed : this.read('kept.txt') !== 'before',
      ran: isExample ? presets[preset].ran : this.read('ran.txt') !== undefined,
    };
    assert.deepEqual(done, presets[preset], shown);
    assert.ok(jobs.every(({ acpError }) => acpError === null), shown);
    if (preset === 'ask') assert.ok(
      jobs.slice(0, 3).every(({ permissionsAsked }) => permissionsAsked > 0), shown,
    );
    if (isExample) return { limit: `${noCommands}: only its edit was checked` };
    const isRead = jobs[1].toolCalls[0]?.status === 'completed';
    if (preset === 'read' && !isRead && readsByCommand) return {
      limit: 'it reads in a sandbox, which wants bubblewrap',
    };
    if (preset === 'read') assert.ok(isRead, shown);
    return remarkOn(jobs);
  }

  /**
   * Checks that the agent does exactly what each preset allows, one after the other, in the same process.
   *
   * @returns a limit, if the agent cannot be held to one of them.
   */
  async expectPresets(names) {
    const id = await this.begin({
      permissions: names[0], keepAlive: 60, prompt: undefined, ...this.exampleDirectories,
    });
    for (const [index, permissions] of names.entries()) {
      const [file, mark] = [`new-${index}-${id}.txt`, `ran-${index}-${id}.txt`];
      if (index > 0 && !await this.#change(id, permissions)) {
        await this.end(id);
        return {
          limit: `begun with ${names[0]} it cannot be held to ${
            permissions
          }, which is refused: it is told to ask as it starts`,
        };
      }
      const written = this.hasWritten(file, await this.turn(id, { steps: ['write'], file }));
      if (!this.recipe.isExample) await this.turn(id, { steps: ['run'], command: `touch ${mark}` });
      const { written: mayWrite, ran: mayRun } = presets[permissions];
      const wanted = [mayWrite, mayRun && !this.recipe.isExample];
      assert.deepEqual(
        [written, this.read(mark) !== undefined], wanted, `${names.join(', ')}: ${permissions}, number ${index}`,
      );
    }
    await this.end(id);
    return undefined;
  }

  /** @returns whether the agent can be held to the permissions. */
  async #change(id, permissions) {
    try {
      return (await this.sidecar.change(id, { permissions })).permissions === permissions;
    } catch (error) {
      if (!/is known to ask for permission/.test(error.message)) throw error;
      return false;
    }
  }

  /** Whether the agent wrote the file. The example only says so. */
  hasWritten(file, { turns }) {
    return this.recipe.isExample ? turns.at(-1).text.includes('successfully') : this.read(file) !== undefined;
  }

  /** The example claims to edit files below `/project` and `/home`. */
  get exampleDirectories() {
    return this.recipe.isExample ? { additionalDirectories: ['/'] } : {};
  }

  /** Answers each permission request with an option of that kind. @returns the finished job and how often it asked. */
  async answered(id, wanted = 'allow_once') {
    const known = new Set();
    const job = await until(async () => {
      const now = await this.sidecar.job(id);
      if (isFinished(now)) return now;
      for (const { permissionId, options } of now.pendingPermissions) {
        if (known.has(permissionId)) continue;
        known.add(permissionId);
        await this.sidecar.permit(id, permissionId, options.find(({ kind }) => kind === wanted).optionId);
      }
      return undefined;
    }, 'the job is finished, its questions answered');
    return { job, answers: known.size };
  }

  /** @returns the job once that number of turns is over and the agent waits for a prompt. */
  async stopped(id, turns) {
    return await until(async () => {
      const job = await this.sidecar.job(id);
      if (isFinished(job)) throw new Error(`It waits for no other prompt: ${JSON.stringify(outlineOf(job))}`);
      return job.turnCount === turns && job.agentPhase === 'waiting' && job;
    }, `turn ${turns} is over`);
  }

  /** Runs another turn of the same process. @returns the job after it. */
  async turn(id, task) {
    const { turnCount } = await this.sidecar.job(id);
    await this.sidecar.prompt(id, this.prompt(task));
    return await this.stopped(id, turnCount + 1);
  }

  /** Runs another turn of the same process, then ends it. @param earlier How many prompts the agent remembers. */
  async second(id, { earlier = 1 } = {}) {
    const job = await this.turn(id, { file: 'second.txt' });
    assert.deepEqual([job.turnCount, job.stopReason], [2, 'end_turn']);
    if (!this.recipe.isExample) this.#expectContinued(job, earlier);
    await this.end(id);
  }

  async end(id) {
    await this.sidecar.cancel(id);
    await this.sidecar.finished(id);
  }

  /** Gemini names a session's file by the minute: within the same minute it overwrites the file that it is to load. */
  async untilLoadable() {
    const minute = () => new Date().getUTCMinutes();
    const before = minute();
    if (this.recipe.isMinutely) await until(() => minute() !== before, 'another minute begins', { ms: 70_000 });
  }

  /**
   * Sends a prompt to an ended job.
   *
   * @param last The last job that continues the first, or the first. @param earlier The number of prompts before.
   * @returns the job that continues both, once it is finished.
   */
  async continued(first, last, earlier) {
    await this.untilLoadable();
    const taken = await this.sidecar.prompt(first.jobId, this.prompt({ file: 'second.txt', earlier }));
    this.#jobs.push(taken.jobId);
    assert.deepEqual([taken.turn, taken.continues], [1, last.jobId]);
    const job = await this.sidecar.finished(taken.jobId);
    assert.deepEqual([job.continues, (await this.sidecar.job(last.jobId)).continuedBy], [last.jobId, job.jobId]);
    return job;
  }

  /** @param earlier The number of prompts that the session had before. */
  expectResumed(job, first, earlier) {
    if (job.acpError?.code === 'resume_not_supported') return { limit: 'it can neither resume nor load a session' };
    assert.deepEqual([job.acpError, job.acpSessionId, job.stopReason], [null, first.acpSessionId, 'end_turn']);
    this.#expectContinued(job, earlier);
    // Earlier messages are not repeated.
    assert.equal(job.stdout.split(doneText).length, 2, job.stdout);
    return `${job.events.filter(({ isReplay }) => isReplay).length} events replayed`;
  }

  /** Checks that another file was written, in the same conversation. */
  #expectContinued({ turns }, earlier) {
    assert.equal(this.read('second.txt'), this.task.content);
    assert.ok(turns.at(-1).text.includes(`${doneText} earlier=${earlier} `), turns.at(-1).text);
  }

  async expectEnded(id, killed) {
    const from = performance.now();
    killAll(killed);
    const { status, acpError } = await this.sidecar.finished(id);
    assert.deepEqual([status, acpError?.code], ['failed', 'agent_ended']);
    return `${Math.round(performance.now() - from)} ms, "${acpError.message}"`;
  }

  /** The content of a file without the end of its line, which only patches write. */
  read(file) {
    const path = join(this.workdir, file);
    return existsSync(path) ? readFileSync(path, 'utf8').trimEnd() : undefined;
  }

  /** The example asks to edit a file outside its directory, which no rule may approve, and continues without it. */
  expectDoneByRules(job) {
    if (!this.recipe.isExample) return this.expectDone(job);
    expectEnd(job);
    assert.match(permissionsIn(job)[0]?.reason ?? '', /outside/);
    this.expectUndone(job);
  }

  expectDone(job) {
    expectEnd(job);
    const kinds = job.toolCalls.filter(({ status }) => status === 'completed').map(({ kind }) => kind);
    if (this.recipe.isExample) {
      assert.match(job.stdout, /^I'll help you with that.*successfully/s);
      return assert.deepEqual(kinds, ['read', 'edit']);
    }
    assert.ok(job.stdout.endsWith(`${doneText} earlier=0 write=yes read=yes run=yes`), job.stdout);
    assert.deepEqual([this.read('hello.txt'), this.read('copy.txt')], [this.task.content, this.task.content]);
    // Codex reads with a command, and reports it as `execute` once it asks for permission.
    assert.match(kinds.join(' '), /^edit (read|execute) execute$/);
  }

  expectUndone(job) {
    if (this.recipe.isExample) assert.match(job.stdout, /skip/i);
    assert.deepEqual([this.read('hello.txt'), this.read('copy.txt')], [undefined, undefined]);
  }

  /** Checks that no process is left with the mark of a job or with the home directory. */
  async expectNoneLeft() {
    const left = () => [`HOME=${this.home}\0`, ...this.#jobs.map((id) => `SIDECAR_JOB_ID=${id}\0`)]
      .flatMap(processesWith);
    try {
      await until(() => left().length === 0, 'no process is left', { ms: graceMs });
    } catch (error) {
      throw new Error(
        `${error.message}: ${left().map(({ pid, command }) => `${pid} ${command}`).join('; ')}`, { cause: error },
      );
    }
  }

  /** Ends all processes and jobs, also after a failure. */
  async clean() {
    this.model.release(this.task.id);
    killAll(processesWith(`HOME=${this.home}\0`));
    for (const id of this.#jobs) {
      try {
        if (!isFinished(await this.sidecar.job(id))) await this.sidecar.cancel(id);
      } catch {
        // The server is gone, or the job is over.
      }
    }
  }

  /** Describes the jobs, to find out what went wrong. */
  async outline() {
    const jobs = await Promise.all(
      this.#jobs.map((id) => this.sidecar.job(id).catch((error) => ({ jobId: id, error: error.message }))),
    );
    return JSON.stringify(jobs.map(outlineOf), null, 1);
  }
}

/** How many permission requests each job made, and how many were denied. */
function remarkOn(jobs) {
  return jobs.map(({ stopReason, acpError, permissionsAsked, permissionsDenied }) =>
    acpError?.code ?? `${stopReason}, ${permissionsDenied.length} of ${permissionsAsked} denied`,
  ).join('; ');
}

function expectEnd(job) {
  assert.deepEqual(
    [job.status, job.stopReason, job.exitCode, job.acpError], ['completed', 'end_turn', 0, null],
    JSON.stringify(outlineOf(job)),
  );
}

function permissionsIn({ events }) {
  return events.filter(({ type }) => type === 'permission');
}

function outlineOf({
  jobId, status, reason, exitCode, stopReason, acpError, stdout, stderr, toolCalls, pendingPermissions, error,
}) {
  return {
    jobId, status, reason, exitCode, stopReason, acpError, stdout, stderr: stderr?.slice(-1500), toolCalls,
    pendingPermissions, error,
  };
}
