/**
 * Writes the time every 10 ms, to be read by `clock.mjs`: nothing lies between the look at the
 * clock and the write. Ends by itself when nobody reads any more (EPIPE).
 * @module
 */
import { writeSync } from 'node:fs';

setInterval(() => writeSync(1, `@${process.hrtime.bigint()}\n`), 10);
