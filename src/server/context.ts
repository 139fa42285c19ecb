/**
 * What the parts of a server get to open themselves.
 * @module
 */
import type { Log } from '../base/log.ts';
import type { TimeSlicer } from '../base/time-slicer.ts';
import type { Config } from '../config/config.ts';
import type { WrapperLink } from '../update/wrapper-link/wrapper-link.ts';
import type { FileLimits } from './capacity.ts';
import type { Parts } from './parts.ts';

export interface ServerContext {
  /** With the capacities that the limit on open files allows. */
  readonly config: Config;
  readonly log: Log;
  readonly pace: TimeSlicer;
  readonly version: string;
  /** `undefined`: the server runs without a wrapper. */
  readonly wrapper: WrapperLink | undefined;
  readonly files: FileLimits;
  readonly parts: Parts;
}
