#!/usr/bin/env node
/**
 * The program `sidecar`: finds the command, parses its flags, and turns a failure into a message and an exit code.
 * @module
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { escapeText } from '../base/text/escape.ts';
import { type Config, loadConfig } from '../config/config.ts';
import { commandGroups, findCommand } from './catalog.ts';
import { type Command, type CommandLine, leadingFlags, parseCommandLine } from './command.ts';
import { UsageError, exitCodes, explain } from './failure.ts';
import { commandHelp, programHelp } from './help.ts';
import type { InstalledProgram } from './installed-program.ts';
import { type Paint, oneLine, painter } from './io/print.ts';
import { outputFailure, writeStderr, watchOutput, write } from './io/streams.ts';
import { ownVersion } from '../process/own-version.ts';

watchOutput(onReaderGone);
const exitCode = await main(process.argv.slice(2));
await Promise.all([flush(process.stdout), flush(process.stderr)]);
process.exit(exitCode);

async function main(words: readonly string[]): Promise<number> {
  let config: Config | undefined;
  let command: Command | undefined;
  try {
    const { flags, rest: [name, ...rest] } = leadingFlags(words);
    if (name === undefined || name === '--help' || name === '-h') return await help(undefined, name === undefined);
    if (name === 'help') return await help(rest[0], false);
    if (name === '--version' || name === '-V' || name === '-v') return await printed(await versionText(flags));
    if (name.startsWith('-')) throw new UsageError(`Unknown flag "${name}" before the command: flags come behind it`);
    // A newer version that an update has installed may know a command that this program does not.
    command = await findCommand(name).catch(async (error: unknown) => {
      await handOver(stateDirOf(flags));
      throw error;
    });
    const line = await parsed(command, [...flags, ...rest]);
    if (line.values['help'] === true) return await help(name, false);
    config = loadConfig(settingsOf(command, line));
    if (command.isAboutItself !== true) await handOver(config.stateDir);
    // parseCommandLine parsed the values by the command's own options.
    const values = line.values as Parameters<Command['run']>[0]['values'];
    const exitCode = await command.run({ values, args: line.args, config });
    const failure = command.isServer === true ? undefined : outputFailure();
    return failure === undefined || exitCode !== exitCodes.ok ? exitCode : printFailure(failure);
  } catch (error) {
    const exitCode = printFailure(error, command);
    if (config?.logLevel === 'debug') writeStderr(`${escapeText(inspect(error))}\n`);
    if (exitCode === exitCodes.usage && process.connected) await reportMisuse((error as Error).message);
    return exitCode;
  }
}

async function parsed(command: Command, words: readonly string[]): Promise<CommandLine> {
  try {
    return parseCommandLine(command, words);
  } catch (error) {
    if (command.isAboutItself !== true) await handOver(stateDirOf(words));
    throw error;
  }
}

/** Hands over to a newer version that an update has installed: it ends this process. Without one, returns. */
async function handOver(stateDir: string | undefined): Promise<void> {
  const newer = await newerIn(stateDir);
  if (newer === undefined) return;
  // The newer version has its own listeners.
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error');
  await import(pathToFileURL(newer.main).href);
}

async function newerIn(stateDir: string | undefined): Promise<InstalledProgram | undefined> {
  if (stateDir === undefined || !existsSync(join(stateDir, 'versions', 'update.json'))) return undefined;
  const { newerProgram } = await import('./installed-program.ts');
  return newerProgram(stateDir);
}

/** The state directory, as far as it can be found in words that this program cannot parse. */
function stateDirOf(words: readonly string[]): string | undefined {
  try {
    const index = words.indexOf('--state-dir');
    const joined = words.find((word) => word.startsWith('--state-dir='))?.slice('--state-dir='.length);
    const given = index < 0 ? joined : words[index + 1];
    return loadConfig(given === undefined ? {} : { 'state-dir': given }).stateDir;
  } catch {
    return undefined;
  }
}

async function versionText(flags: readonly string[]): Promise<string> {
  const newer = await newerIn(stateDirOf(flags));
  if (newer === undefined) return `${ownVersion()}\n`;
  return `${ownVersion()}\n${newer.version} was installed by an update, and carries out the commands: ${newer.main}\n`;
}

function printFailure(error: unknown, command?: Command): number {
  const { lines, exitCode } = explain(error, command?.name);
  for (const [index, text] of lines.entries()) {
    writeStderr(`${index === 0 ? 'sidecar: ' : '         '}${oneLine(text)}\n`);
  }
  return exitCode;
}

/** Tells the wrapper: a server whose settings cannot be read fails the same way at every start. */
async function reportMisuse(reason: string): Promise<void> {
  const { reportRefusal } = await import('../update/wrapper-link/wrapper-link.ts');
  await reportRefusal({ reason, isFinal: true });
}

/** The flags that are settings: the others have a different meaning in every command. */
function settingsOf(command: Command, line: CommandLine): CommandLine['values'] {
  return Object.fromEntries(Object.keys(command.settings ?? {}).map((name) => [name, line.values[name]]));
}

async function help(name: string | undefined, isMisuse: boolean): Promise<number> {
  const paint = helpPaint();
  if (name !== undefined) return printed(commandHelp(await findCommand(name), paint));
  const text = programHelp(await commandGroups(), paint);
  if (!isMisuse) return printed(text);
  await write(text, process.stderr);
  return exitCodes.usage;
}

/** Help works even if the settings cannot be read. */
function helpPaint(): Paint {
  try {
    return painter(loadConfig().isColour(process.stdout));
  } catch {
    return painter(false);
  }
}

async function printed(text: string): Promise<number> {
  await write(text);
  return exitCodes.ok;
}

/** A reader that left (`| head`) has what it wanted, unless the command handles that itself. */
function onReaderGone(): void {
  if (process.stdout.listenerCount('error') === 1) process.exit(exitCodes.ok);
}

function flush(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableLength === 0) resolve();
    else stream.write('', () => resolve());
  });
}
