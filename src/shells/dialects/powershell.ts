/**
 * PowerShell (pwsh) on systems with FIFOs.
 *
 * Its control holds the paths of run files. As in the other shells, a command is evaluated at the top level; `exit` in
 * it ends the shell, `break` only the command. Its output is text, as PowerShell itself decodes the output of programs;
 * objects are shown as on a screen of 120 columns.
 *
 * The exit code is that of the last statement: 0 if `$?` is true, otherwise `$LASTEXITCODE` if a program has set it, or
 * 1, as for an error that was not caught.
 * @module
 */
import { readFileSync } from 'node:fs';
import { bootstrapFailed, type Dialect, type ShellJob } from './dialect.ts';

const screenColumns = 120;

/** Its opening comment says what it does. */
const loopProgram: string = readFileSync(new URL('loop.ps1', import.meta.url), 'utf8');

export const pwsh: Dialect = {
  argv: (program, control) => [program, '-NoLogo', '-NoProfile', '-NonInteractive', '-Command', loop(control)],
  // The loop opens the control itself, and skips empty lines.
  begin: () => '',
  source: (runFile) => runFile,
  run: createRunFile,
};

/**
 * `break` leaves every loop up to the first one of the same shell, so there are two loops.
 *
 * PowerShell cannot redirect the stdin of what it runs (about_Redirection), so open(2) and dup2(2) do: programs inherit
 * it. The flags are O_RDONLY and O_RDWR, which are the same on all systems.
 */
function loop(control: string): string {
  return loopProgram.replaceAll(/@(?:CONTROL|COLUMNS)@/g, (name) =>
    name === '@CONTROL@' ? quote(control) : `${screenColumns}`);
}

function createRunFile({ directory, id, claim: line, stdin, bootstrap: path }: ShellJob): string {
  const file = (name: string): string => quote(`${directory}/${name}`);
  const claim = quote(line);
  return `[SidecarNative.Fd]::Stdin(${stdin === 'null' ? `'/dev/null'` : file('stdin')})
[System.IO.File]::AppendAllText(${file('process')}, ${claim} + "\`n")
if ([System.IO.File]::ReadAllLines(${file('process')})[0] -ceq ${claim}) {
  $env:SIDECAR_JOB_ID = ${quote(id)}
  $__sidecar_out = __sidecar_open ${file('stdout')}
  $__sidecar_err = __sidecar_open ${file('stderr')}
${path === undefined ? '' : runBootstrap(path)}${evaluate(file('command'), '$__sidecar_out')}
  $__sidecar_out.Dispose()
  $__sidecar_err.Dispose()
  [System.IO.File]::AppendAllText(${file('exit')}, "$__sidecar_code\`n")
}
[SidecarNative.Fd]::Stdin('/dev/null')
`;
}

/** The bootstrap prints to stderr, where its faults can be found: the job's stdout is that of its command alone. */
function runBootstrap(path: string): string {
  return `${evaluate(quote(path), '$__sidecar_err')}
  if ($__sidecar_code -ne 0) { $__sidecar_err.WriteLine("${bootstrapFailed} $__sidecar_code") }
`;
}

/** Leaves the exit code in `$__sidecar_code`. The loop is there for a `break` in the command. */
function evaluate(file: string, out: string): string {
  return `  $global:LASTEXITCODE = 0
  $__sidecar_ok = $true
  foreach ($__sidecar_once in 1) {
    try {
      . ([scriptblock]::Create([System.IO.File]::ReadAllText(${file}) + "\`n\`n\`$__sidecar_ok = \`$?")) *>&1 |
        __sidecar_show ${out} $__sidecar_err
    } catch {
      $__sidecar_ok = $false
      $global:LASTEXITCODE = 0
      $_ | __sidecar_show ${out} $__sidecar_err
    }
  }
  $__sidecar_code = if ($__sidecar_ok) { 0 } elseif ($global:LASTEXITCODE) { $global:LASTEXITCODE } else { 1 }`;
}

/** A literal string (about_Quoting_Rules). */
function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
