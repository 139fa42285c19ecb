/** Runs a service command as where systemd runs: `install|uninstall|status FLAGS-AS-JSON`; `FAKE_UID` is who asks. @module */
import { install } from '../../src/cli/service/install.ts';
import { status } from '../../src/cli/server/status.ts';
import { uninstall } from '../../src/cli/service/uninstall.ts';
import { explain } from '../../src/cli/failure.ts';
import { placeFor } from '../../src/cli/service/detect.ts';
import { runner } from '../../src/cli/service/run.ts';
import type { Scope } from '../../src/cli/service/service.ts';
import { systemd } from '../../src/cli/service/systemd.ts';
import { loadConfig } from '../../src/config/config.ts';

const [verb = '', json = '{}'] = process.argv.slice(2);
const { scope = 'user', dryRun = false, obstacle, ...flags } = JSON.parse(json) as
  { scope?: Scope; dryRun?: boolean; obstacle?: string; [flag: string]: string | boolean | undefined };
const uid = Number(process.env['FAKE_UID'] ?? process.getuid?.());
process.getuid = () => uid;

try {
  const config = loadConfig(flags);
  const place = placeFor(scope, config, systemd);
  const run = runner(config.jobEnvironment);
  if (verb === 'install') process.exitCode = await install({ config, place, run, isDryRun: dryRun, obstacle });
  if (verb === 'uninstall') process.exitCode = await uninstall({ config, place, run, isDryRun: dryRun });
  if (verb === 'status') process.exitCode = await status({ config, place, run, isJson: true });
} catch (error) {
  const { lines, exitCode } = explain(error);
  console.error(lines.join('\n'));
  process.exitCode = exitCode;
}
