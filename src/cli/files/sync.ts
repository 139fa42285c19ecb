/**
 * `sidecar sync`: makes a directory of the machine as one of here.
 * @module
 */
import { setTimeout as pause } from 'node:timers/promises';
import { ProblemError } from '../../client/client.ts';
import { selector } from '../../files/archive/select.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { CommandError, explain, exitCodes, UsageError } from '../failure.ts';
import { printLine, printMessage, size } from '../io/print.ts';
import { namedPlaceOf } from './place.ts';
import { type Progress, startProgress } from './progress.ts';
import { scanSource, Sync, type SyncOptions, type SyncResult } from './sync/pass.ts';
import { TreeWatcher } from './sync/watch.ts';

const options = {
  'delete': { type: 'boolean', description: 'Delete on the machine what DIR does not have' },
  'exclude': { type: 'string', multiple: true, value: 'GLOB', description: 'Leave out what matches; may be repeated' },
  'dry-run': { type: 'boolean', short: 'n', description: 'Say what would be done, and do nothing' },
  'watch': { type: 'boolean', short: 'w', description: 'Continue as files of DIR change' },
  'checksum': { type: 'boolean', short: 'c', description: 'Compare by hash also files of the same time' },
  'all-links': { type: 'boolean', description: 'Send also links that lead out of DIR' },
  'force': { type: 'boolean', description: 'With --delete: also where DIR is empty, or :DIR is /' },
} as const;

export const command: Command = defineCommand({
  name: 'sync',
  summary: 'Make a directory of the machine as one of here',
  usage: ['sync [flags] DIR :DIR'],
  about: `What differs is sent in one archive, and each file is replaced in one step; what is the same is not touched.
Files are the same where size, time and permissions are; where only the time differs, their hashes decide. Permissions
(but setuid and setgid), times and links are kept. What the machine has beside that stays, unless --delete is given.

A GLOB without a slash is a name anywhere, one with a slash a path below DIR; a directory that matches is left out with
all that is in it, and stays on the machine. .gitignore is not read. FIFOs and devices are left out, and names that are
not UTF-8. With --watch, changes that others make on the machine are seen at the next start.`,
  options,
  settings: connectionSettings,
  arity: { min: 2, max: 2 },
  examples: [
    { line: 'sidecar sync . :/srv/app --exclude .git --exclude node_modules', what: 'a checkout' },
    { line: 'sidecar sync -n --delete site :/var/www', what: 'what would change' },
    { line: 'sidecar sync --watch src :/srv/app/src', what: 'until Ctrl-C, as files change' },
  ],
  run,
});

async function run(
  { values, args: [from = '', to = ''], config }: Invocation<Values<typeof options>>,
): Promise<number> {
  const [source, target] = [namedPlaceOf(from), namedPlaceOf(to)];
  if (source.at !== 'here' || target.at !== 'machine') {
    throw new UsageError('Give a directory of here, then one of the machine as :DIR', 'sync');
  }
  const { sidecar } = await connect(config);
  const exclude = selector(values.exclude ?? []);
  const chosen: SyncOptions = {
    directory: source.path, target: target.path, exclude, excludes: values.exclude !== undefined,
    deletes: values.delete === true, isForced: values.force === true,
    comparesAll: values.checksum === true, allLinks: values['all-links'] === true,
  };
  const sync = new Sync(sidecar, chosen);
  const isDry = values['dry-run'] === true;
  if (values.watch === true && !isDry) return await keepInSync(sync, chosen);
  const first = isDry ? undefined : await withProgress(chosen, (progress) => sync.runFirst(progress));
  return await report(first ?? await pass(sync, chosen, isDry), isDry);
}

function pass(sync: Sync, chosen: SyncOptions, isDry = false, local = scanSource(chosen)): Promise<SyncResult> {
  return withProgress(chosen, (progress) => sync.run(local, { isDry, progress }));
}

async function withProgress<T>({ directory }: SyncOptions, act: (progress: Progress) => Promise<T>): Promise<T> {
  const progress = startProgress(directory);
  try {
    return await act(progress);
  } finally {
    progress.end();
  }
}

async function report(result: SyncResult, isDry: boolean): Promise<number> {
  const { sent = [], sentCount, deleted, deletedCount, sentBytes, sameCount, skipped, changed } = result;
  if (isDry) {
    for (const path of deleted) await printLine(`delete ${path}`);
    for (const path of sent) await printLine(`send ${path}`);
  }
  const words = isDry ? 'to send, to delete, the same:' : 'sent, deleted, the same:';
  await printLine(`${words} ${sentCount} (${size(sentBytes)}), ${deletedCount}, ${sameCount}`);
  for (const path of skipped) printMessage(`${path} is left out: no file, directory or link, or its name is not UTF-8`);
  for (const change of changed) printMessage(`A file changed while it was sent: ${change}`);
  return changed.length === 0 ? exitCodes.ok : exitCodes.failure;
}

/** Changes that come within so many milliseconds are sent together. */
const gatherMs = 100;
const firstRetryMs = 1000;
const maxRetryMs = 30_000;

/** Never returns: a signal ends it. */
async function keepInSync(sync: Sync, chosen: SyncOptions): Promise<number> {
  const watcher = new TreeWatcher(chosen.directory);
  try {
    for (let isFirst = true, retryMs = firstRetryMs; ;) {
      const local = scanSource(chosen);
      const hasMissed = watcher.follow(local.tree);
      try {
        const result = await pass(sync, chosen, false, local);
        const isNews = isFirst || result.sentCount + result.deletedCount > 0;
        if (isNews) await report({ ...result, skipped: isFirst ? result.skipped : [] }, false);
        retryMs = firstRetryMs;
        isFirst = false;
        if (hasMissed) continue;
        await watcher.changed();
        await pause(gatherMs);
      } catch (error) {
        if (isFirst || !(error instanceof ProblemError || error instanceof CommandError)) throw error;
        for (const line of explain(error).lines) printMessage(line);
        sync.forget();
        if (error instanceof CommandError) await watcher.changed();
        else await pause(retryMs);
        retryMs = Math.min(2 * retryMs, maxRetryMs);
      }
    }
  } finally {
    watcher.close();
  }
}
