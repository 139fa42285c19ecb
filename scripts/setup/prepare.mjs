/** Installs the development packages and builds `dist`, each only if something changed. @module */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, isBuilt } from './build.mjs';
import { lock } from './lock.mjs';
import { areInstalled, install } from './packages.mjs';
import { SetupError } from './tool.mjs';

/** @returns {Promise<boolean>} Whether the checkout is ready; if not, stderr says why. */
export async function prepare(rootUrl) {
  const root = fileURLToPath(rootUrl);
  try {
    // The usual case takes no lock and writes nothing, so it also works in a read-only checkout.
    if (!areInstalled(root) || !isBuilt(root)) await change(root);
    return true;
  } catch (error) {
    console.error(explain(error, root));
    process.exitCode = 1;
    return false;
  }
}

function explain(error, root) {
  if (error instanceof SetupError) return error.message;
  if (!/^(EACCES|EPERM|EROFS|ENOSPC|EDQUOT)$/.test(error.code)) throw error;
  return (
    `setup: cannot write into ${root}: ${error.message}\n` +
    'Make room or run the command as the owner of that folder.'
  );
}

async function change(root) {
  const held = await lock(join(root, '.setup'), {
    onWait: (holder) => say(`waiting for the set-up that is under way (${holder})`),
  });
  try {
    // Checked again: the previous holder of the lock may have done the work.
    if (!areInstalled(root)) {
      say('installing the development packages');
      await install(root, held);
    }
    if (!isBuilt(root)) {
      say('building');
      await build(root, held);
    }
  } finally {
    held.release();
  }
}

function say(what) {
  console.error(`setup: ${what}...`);
}
