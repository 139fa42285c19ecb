# The loop of a persistent PowerShell: reads the paths of run files from its control, and runs each at the top level.
# Its two words between at signs are replaced by powershell.ts: the path of the control, and the columns of output.
$ErrorActionPreference = 'Continue'
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
        else { $err.WriteLine(($_ | Out-String -Width @COLUMNS@).TrimEnd()) }
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
        $format = { Out-String -Stream -Width @COLUMNS@ }.GetSteppablePipeline()
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
  [System.IO.FileStream]::new(@CONTROL@, [System.IO.FileMode]::Open, [System.IO.FileAccess]::ReadWrite,
    [System.IO.FileShare]::ReadWrite),
  [System.Text.UTF8Encoding]::new($false), $false)
while ($true) {
  while ($true) {
    $__sidecar_path = $__sidecar_control.ReadLine()
    if ($__sidecar_path) { . ([scriptblock]::Create([System.IO.File]::ReadAllText($__sidecar_path))) }
  }
}
