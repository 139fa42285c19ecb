#!/usr/bin/env node
/** The command `sidecar` of a package and of a checkout; a checkout is built first if needed. @module */
'use strict';
const { existsSync } = require('fs');
const { join } = require('path');
const { pathToFileURL } = require('url');

const dist = join(__dirname, '..', 'dist');
const main = join(dist, 'cli', 'main.js');

// Node starts 4 ms faster without an ES module, so a package starts with CommonJS.
if (existsSync(join(dist, 'start.cjs'))) require('../dist/start.cjs').main();
else run();

async function run() {
  if (existsSync(main) || await isPrepared()) await import(pathToFileURL(main).href);
}

async function isPrepared() {
  const { prepare } = await import('./setup/prepare.mjs');
  return prepare(pathToFileURL(join(__dirname, '..', '/')));
}
