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
import { bootstrapFailed, type Dialect, type ShellJob } from './dialect.ts';

const screenColumns = 120;

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
  return `$ErrorActionPreference = 'Continue'
$ProgressPreference = 'SilentlyContinue'
if ($PSStyle) { $PSStyle.OutputRendering = 'PlainText' }
[Console]::OutputEncoding = [System.Text.UTF8Encoding]::new($false)
Add-Type -Namespace SidecarNative -Name Fd -MemberDefinition '
[DllImport("libc")] public static extern int open(string path, int flags);
[DllImport("libc")] public static extern int dup2(int from, int to);
[DllImport("libc")] public static extern int close(int fd);
public static void Stdin(string path) {
  int hold = open(path, 2), input = open(path, 0);
  dup2(input, 0);
  close(input);
  close(hold);
}'
function global:__sidecar_show($out, $err) {
  begin { $format = $null }
  process {
    if ($_ -is [string] -or $_ -is [System.Management.Automation.ErrorRecord] -or
        $_ -is [System.Management.Automation.InformationalRecord] -or
        $_ -is [System.Management.Automation.InformationRecord] -or ($null -ne $_ -and $_.GetType().IsPrimitive)) {
      if ($format) { foreach ($line in $format.End()) { $out.WriteLine($line) }; $format = $null }
      if ($_ -is [System.Management.Automation.ErrorRecord]) {
        if ("$($_.FullyQualifiedErrorId)".StartsWith('NativeCommandError')) { $err.WriteLine($_.Exception.Message) }
        else { $err.WriteLine(($_ | Out-String -Width ${screenColumns}).TrimEnd()) }
      }
      elseif ($_ -is [System.Management.Automation.WarningRecord]) { $out.WriteLine("WARNING: $($_.Message)") }
      elseif ($_ -is [System.Management.Automation.VerboseRecord]) { $out.WriteLine("VERBOSE: $($_.Message)") }
      elseif ($_ -is [System.Management.Automation.DebugRecord]) { $out.WriteLine("DEBUG: $($_.Message)") }
      elseif ($_ -is [System.Management.Automation.InformationRecord] -and
        $_.MessageData -is [System.Management.Automation.HostInformationMessage] -and
        $_.MessageData.NoNewLine) { $out.Write("$_") }
      else { $out.WriteLine("$_") }
    }
    else {
      if (-not $format) {
        $format = { Out-String -Stream -Width ${screenColumns} }.GetSteppablePipeline()
        $format.Begin($true)
      }
      foreach ($line in $format.Process($_)) { $out.WriteLine($line) }
    }
  }
  end { if ($format) { foreach ($line in $format.End()) { $out.WriteLine($line) } } }
}
function global:__sidecar_open($path) {
  $writer = [System.IO.StreamWriter]::new($path, $true, [System.Text.UTF8Encoding]::new($false))
  $writer.AutoFlush = $true
  $writer
}
$__sidecar_control = [System.IO.StreamReader]::new(
  [System.IO.FileStream]::new(${quote(control)}, [System.IO.FileMode]::Open, [System.IO.FileAccess]::ReadWrite,
    [System.IO.FileShare]::ReadWrite),
  [System.Text.UTF8Encoding]::new($false), $false)
while ($true) {
  while ($true) {
    $__sidecar_path = $__sidecar_control.ReadLine()
    if ($__sidecar_path) { . ([scriptblock]::Create([System.IO.File]::ReadAllText($__sidecar_path))) }
  }
}
`;
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
