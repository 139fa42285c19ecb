/** Makes empty files in a new folder, 100 in each of its folders, and deletes them. @module */
import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { finish, readTask } from './raw-http.mjs';

const PER_FOLDER = 100;

/** @type {{folder: string, count: number}} */
const { folder, count } = readTask();
const root = join(folder, 'deleted');
for (let file = 0; file < count; file++) {
  const parent = join(root, String(Math.floor(file / PER_FOLDER)));
  if (file % PER_FOLDER === 0) mkdirSync(parent, { recursive: true });
  closeSync(openSync(join(parent, String(file)), 'wx'));
}
rmSync(root, { recursive: true });
finish({ deleted: count });
