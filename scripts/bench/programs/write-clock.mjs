/**
 * Writes the time every 10 ms, to be read by `clock.mjs`: the write follows the look at the clock at once. Ends by
 * itself when the reader has gone (EPIPE).
 * @module
 */
import { writeSync } from 'node:fs';

setInterval(() => writeSync(1, `@${process.hrtime.bigint()}\n`), 10);
