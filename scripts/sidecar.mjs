#!/usr/bin/env node
/** The command `sidecar` of a package, and of a checkout, which is built first where it never was. @module */
import { existsSync } from 'node:fs';

const main = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(main) || await isPrepared()) await import(main.href);

async function isPrepared() {
  const { prepare } = await import('./setup/prepare.mjs');
  return prepare(new URL('../', import.meta.url));
}
