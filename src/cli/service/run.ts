/**
 * Runs the commands of a supervisor.
 * @module
 */
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { quote } from '../../base/text/shell-word.ts';
import { CommandError } from '../failure.ts';
import { printMessage } from '../io/print.ts';
import type { StepResult, SupervisorStep } from './service.ts';

/** Runs one command; reports how it ended as a value, not as an exception. */
export type RunStep = (step: SupervisorStep) => Promise<StepResult>;

/** Milliseconds for one command. A stop may take the 30 seconds that the service is given. */
const timeoutMs = 60_000;

/** @param environment For the commands; language and time zone are replaced, so that their output can be parsed. */
export function createStepRunner(environment: { readonly [name: string]: string }): RunStep {
  const env = { ...environment, LC_ALL: 'C', TZ: 'UTC' };
  return ({ program, args }) => new Promise((resolve) => {
    execFile(program, [...args], { env, timeout: timeoutMs }, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      const exitCode = typeof code === 'number' ? code : undefined;
      resolve({ exitCode, stdout, stderr: stderr || (error !== null && exitCode === undefined ? error.message : '') });
    });
  });
}

/**
 * Carries out the steps, one after the other. A failure of an optional step is reported and skipped.
 *
 * @throws CommandError with the supervisor's message.
 */
export async function runSteps(steps: readonly SupervisorStep[], run: RunStep): Promise<void> {
  for (const step of steps) {
    const outcome = await attempt(step, run);
    if (outcome.exitCode === 0) continue;
    const said = (outcome.stderr.trim() || outcome.stdout.trim()).split('\n').at(-1)
      || `exit code ${outcome.exitCode ?? 'unknown'}`;
    if (step.otherwise === undefined) {
      throw new CommandError(
        `Cannot run "${commandLine(step)}": ${said}`, step.hint === undefined ? {} : { hint: step.hint },
      );
    }
    printMessage(`"${commandLine(step)}" failed: ${said}`);
    printMessage(step.otherwise);
  }
}

/** The command of a step as it can be typed into a shell. */
export function commandLine({ program, args }: SupervisorStep): string {
  return [program, ...args].map((word) => (/^[\w@%+=:,./\\-]+$/.test(word) ? word : quote(word))).join(' ');
}

async function attempt(step: SupervisorStep, run: RunStep): Promise<StepResult> {
  for (let left = step.attempts ?? 1; ; left -= 1) {
    const outcome = await run(step);
    if (outcome.exitCode === 0 || left <= 1) return outcome;
    await delay(1000);
  }
}
