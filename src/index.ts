/**
 * The package `machine-sidecar`: a server to run inside a program of one's own. For calling one: `machine-sidecar/client`.
 * @module
 */
export { createLog, type Log, type LogOptions } from './base/log.ts';
export { type Config, loadConfig } from './config.ts';
export { type Server, startServer } from './server.ts';
