/**
 * Makes a checkout ready to run, then becomes the program named:
 *
 *     node scripts/setup.mjs [PROGRAM [ARGUMENT...]]      PROGRAM is relative to the package
 *
 * The program runs in this same process, so that a signal sent to `npm start` reaches the server.
 * This file must load on any Node that knows `.mjs`, so that an old one prints an explanation, not a
 * SyntaxError. Hence no static imports and no syntax younger than Node 12; the work is in setup/.
 *
 * @module
 */

const minimum = [20, 11];

if (isTooOld(process.versions.node)) {
  console.error(
    'machine-sidecar needs Node ' + minimum.join('.') + ' or later; this is Node ' +
      process.versions.node + ' (' + process.execPath + ').\n' +
      'Get a current one from https://nodejs.org/en/download (or `nvm install 22`, `brew install node`, ' +
      '`winget install OpenJS.NodeJS.LTS`),\nopen a new terminal, see that `node --version` names it, ' +
      'and run the same command again.'
  );
  process.exitCode = 1;
} else {
  main();
}

function isTooOld(version) {
  const parts = version.split('.').map(Number);
  return parts[0] < minimum[0] || (parts[0] === minimum[0] && parts[1] < minimum[1]);
}

async function main() {
  const root = new URL('../', import.meta.url);
  const fs = await import('fs');
  // An unpacked npm package has no tsconfig.json: it is built already and needs no packages.
  if (fs.existsSync(new URL('tsconfig.json', root))) {
    const setup = await import('./setup/prepare.mjs');
    if (!(await setup.prepare(root))) return;
  }
  if (process.argv.length > 2) await become(new URL(process.argv[2], root));
}

async function become(program) {
  const url = await import('url');
  process.argv.splice(1, 2, url.fileURLToPath(program));
  if (process.env.npm_lifecycle_event !== undefined) endWithParent();
  await import(program.href);
}

/**
 * Ends this process with SIGTERM when its parent has exited. A signal to `npm start` reaches npm, which passes it on
 * only to its shell; dash exits on it and leaves the server running.
 */
function endWithParent() {
  const parent = process.ppid;
  const look = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(look);
    process.kill(process.pid, 'SIGTERM');
  }, 500);
  look.unref();
}
