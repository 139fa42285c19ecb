/**
 * The source that a spec names.
 * @module
 */
import { localSource } from './local.ts';
import { manifestSource } from './manifest.ts';
import { type NpmOptions, npmSource } from './npm.ts';
import type { Source } from './source.ts';
import type { SourceSpec } from './spec.ts';

/** Sends no request before `find()` is called. */
export function openSource(spec: SourceSpec, options: NpmOptions): Source {
  switch (spec.type) {
    case 'npm': return npmSource(spec, options);
    case 'manifest': {
      const { registry: _registry, token: _token, ...rest } = options;
      return manifestSource(spec.url, rest);
    }
    case 'local': return localSource(spec.path);
  }
}
