#!/usr/bin/env node
/** The command `sidecar` of a package, and of a checkout, which is built first where it never was. @module */
'use strict';
const { existsSync } = require('fs');
const { join } = require('path');
const { pathToFileURL } = require('url');

const dist = join(__dirname, '..', 'dist');
const main = join(dist, 'cli', 'main.js');

// Node takes 4 ms longer to start with a module of its newer kind, so that a package begins without one.
if (existsSync(join(dist, 'start.cjs'))) require('../dist/start.cjs').main();
else run();

async function run() {
  if (existsSync(main) || await isPrepared()) await import(pathToFileURL(main).href);
}

async function isPrepared() {
  const { prepare } = await import('./setup/prepare.mjs');
  return prepare(pathToFileURL(join(__dirname, '..', '/')));
}
