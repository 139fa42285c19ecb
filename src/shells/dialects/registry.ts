/**
 * The language of each shell that can persist. Windows PowerShell has none, as a shell gets its jobs through a FIFO.
 * @module
 */
import type { ShellKind } from '../../protocol/shells.ts';
import type { Dialect } from './dialect.ts';
import { posix } from './posix.ts';
import { pwsh } from './powershell.ts';

export const dialects: { readonly [K in ShellKind]?: Dialect } = { ...posix, pwsh };
