/**
 * Runs the modules of a package, which lie in a few files: see bundle.mjs.
 *
 * V8 translates a module when it is run, which takes longer than to run it, most of a short command. What it made is kept beside the modules, in
 * `code/`, for each file, command and version of Node: so whoever may write it may write the program as well. A file there is whole or not there
 * at all; where none can be written, or V8 does not take it, all is translated as ever.
 *
 * @module
 */
'use strict';
const { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } = require('fs');
const { basename, join } = require('path');
const { pathToFileURL } = require('url');
const { Script } = require('vm');

/** The build: another one must not be given what belongs to this one. */
const build = 'BUILD';
/** The module of the command, and the files in which it and all that it leads to are. */
const command = 'COMMAND';
/** So long after its start a server has run what it runs at its start. */
const serverMs = 5000;
const folder = join(__dirname, 'code');
const loaded = new Map();
const modules = {};
// What is no module of ours is one of Node's.
const runtime = {
  load,
  builtin: require,
  addressOf: (name) => pathToFileURL(join(__dirname, name)).href,
  importFile: (address) => import(address),
  importStar: (found) => (found.__esModule ? found : { ...found, default: found }),
  importDefault: (found) => (found.__esModule ? found : { default: found }),
  exportStar: (found, exports) => {
    for (const key of Object.keys(found)) Object.defineProperty(exports, key, { enumerable: true, get: () => found[key] });
  },
};

function load(name) {
  let exports = loaded.get(name);
  if (exports === undefined) {
    loaded.set(name, exports = Object.defineProperty({}, '__esModule', { value: true }));
    modules[name](exports);
  }
  return exports;
}

/** Makes the modules of files known, once. @returns `load`. */
exports.open = (...files) => {
  for (const file of files.filter((name) => !loaded.has(name))) {
    loaded.set(file, modules);
    Object.assign(modules, scriptOf(file).runInThisContext()(runtime));
  }
  return load;
};

/** Runs a program. */
exports.start = (entry, ...files) => {
  exports.open(...files);
  return modules[entry]({});
};

/** Runs the command. */
exports.main = () => {
  const [entry, ...files] = command;
  const [, , word = ''] = process.argv;
  const name = /^[a-z]{2,12}$/.test(word) ? word : 'other';
  const scripts = files.map((file) => {
    const kept = join(folder, [build, process.version, process.arch, file.replace('.cjs', ''), name].join('-'));
    return { kept, script: scriptOf(file, codeIn(kept)) };
  });
  for (const { script } of scripts) Object.assign(modules, script.runInThisContext()(runtime));
  const news = scripts.filter(({ script }) => script.cachedDataRejected !== false);
  if (news.length > 0) keepLater(news, word === 'serve');
  return modules[entry]({});
};

/** It is all ASCII, which V8 keeps as it is, and once. */
function scriptOf(file, cachedData) {
  const filename = join(__dirname, file);
  return new Script(readFileSync(filename, 'latin1'), { filename, cachedData });
}

function codeIn(file) {
  try {
    return readFileSync(file);
  } catch {
    // Not yet.
    return undefined;
  }
}

/** A command that failed may be none, or has run little; of a server that has run for long V8 has forgotten how it starts. */
function keepLater(scripts, isServer) {
  const keep = () => {
    process.off('exit', keepAtEnd);
    try {
      for (const { script, kept } of scripts) keepCode(script.createCachedData(), kept);
    } catch {
      // The package belongs to somebody else, or the disk is full.
    }
  };
  const keepAtEnd = (exitCode) => exitCode === 0 && keep();
  process.once('exit', keepAtEnd);
  if (isServer) setTimeout(keep, serverMs).unref();
}

/** Whole, or not at all, also where the machine stops in between. */
function keepCode(code, file) {
  const made = join(folder, `.${basename(file)}-${process.pid}`);
  // Not the folders above it: an update may have removed the package.
  if (!existsSync(folder)) mkdirSync(folder);
  const descriptor = openSync(made, 'wx', 0o644);
  try {
    writeFileSync(descriptor, code);
    fsyncSync(descriptor);
    renameSync(made, file);
  } catch (error) {
    rmSync(made, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
}
