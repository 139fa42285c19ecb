/**
 * Runs the modules of a package, which are in a few files: see bundle.mjs.
 *
 * Compiling the modules is most of the time of a short command. So V8's code cache is kept in `code/`, for each file,
 * command and version of Node; a command that has none yet uses that of the server. Only users who can write the
 * program can write there. A cache file is whole or absent; if it cannot be written, or V8 rejects it, the modules are
 * compiled as usual.
 *
 * @module
 */
'use strict';
const {
  closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync,
} = require('fs');
const { basename, join } = require('path');
const { pathToFileURL } = require('url');
const { Script } = require('vm');

/** The build: a cache of another build must not be used. */
const build = 'BUILD';
/** The module of the command, and the files that hold it and its imports. */
const command = 'COMMAND';
/** A server keeps its code so long after its start: its start-up code has run by then. */
const serverMs = 5000;
const folder = join(__dirname, 'code');
const loaded = new Map();
const modules = {};
// `builtin` loads Node's own modules.
const runtime = {
  load,
  builtin: require,
  addressOf: (name) => pathToFileURL(join(__dirname, name)).href,
  importFile: (address) => import(address),
  importStar: (found) => (found.__esModule ? found : { ...found, default: found }),
  importDefault: (found) => (found.__esModule ? found : { default: found }),
  exportStar: (found, exports) => {
    for (const key of Object.keys(found)) Object.defineProperty(exports, key, {
      enumerable: true, get: () => found[key],
    });
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

/** Loads the modules' functions from files, once for each file. @returns `load`. */
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
    const keptOf = (word) => join(
      folder, [build, process.version, process.arch, file.replace('.cjs', ''), word].join('-'));
    const kept = keptOf(name);
    const own = codeIn(kept);
    const script = scriptOf(file, own ?? codeIn(keptOf('serve')));
    return { kept, script, isBorrowed: own === undefined && script.cachedDataRejected === false };
  });
  for (const { script } of scripts) Object.assign(modules, script.runInThisContext()(runtime));
  const news = scripts.filter(({ isBorrowed, script }) => isBorrowed || script.cachedDataRejected !== false);
  if (news.length > 0) keepLater(news, word === 'serve');
  return modules[entry]({});
};

/** The file is all ASCII, which V8 keeps as it is, without a second copy. */
function scriptOf(file, cachedData) {
  return new Script(textOf(file), { filename: join(__dirname, file), cachedData });
}

/** A package has its largest file compressed. To decompress it takes 5 ms, so the text is kept beside the code. */
function textOf(file) {
  const plain = join(__dirname, file);
  if (existsSync(plain)) return readFileSync(plain, 'latin1');
  const kept = join(folder, `${build}-${file}`);
  if (existsSync(kept)) return readFileSync(kept, 'latin1');
  const text = require('zlib').brotliDecompressSync(readFileSync(`${plain}.br`));
  try {
    keepCode(text, kept);
  } catch {
    // The package belongs to another user, or the disk is full.
  }
  return text.toString('latin1');
}

function codeIn(file) {
  try {
    return readFileSync(file);
  } catch {
    // There is no cache yet.
    return undefined;
  }
}

/** A failed command may not exist, or has run little; V8 later discards the code of a server's start. */
function keepLater(scripts, isServer) {
  const keep = () => {
    process.off('exit', keepAtEnd);
    try {
      // What was borrowed has more than the command needs: it makes its own the next time, as V8 rejects an empty one.
      for (const { script, kept, isBorrowed } of scripts) keepCode(isBorrowed ? '' : script.createCachedData(), kept);
    } catch {
      // The package belongs to another user, or the disk is full.
    }
  };
  const keepAtEnd = (exitCode) => exitCode === 0 && keep();
  process.once('exit', keepAtEnd);
  if (isServer) setTimeout(keep, serverMs).unref();
}

/** Writes the file whole or not at all, even if the machine stops. */
function keepCode(code, file) {
  const made = join(folder, `.${basename(file)}-${process.pid}`);
  // The folders above are not created: an update may have removed the package.
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
