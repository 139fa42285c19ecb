<#
.SYNOPSIS
Installs machine-sidecar from nothing but Node, and has it run as a service: a task of the Task Scheduler.

.DESCRIPTION
Downloads the package from the npm registry ($env:SIDECAR_REGISTRY names another one), checks its integrity and its
signature, unpacks it into PREFIX\VERSION, writes sidecar.cmd into PREFIX\bin, and runs "sidecar install". Asks for no
administrator.

.EXAMPLE
.\install.ps1 -Port 9000
.EXAMPLE
.\install.ps1 -From .\machine-sidecar-0.1.0.tgz -NoService
.EXAMPLE
.\install.ps1 -Uninstall
#>
[CmdletBinding()]
param(
    # A version, or a tag of the registry.
    [string] $Version = 'latest',
    # Where it goes.
    [string] $Prefix = (Join-Path $env:LOCALAPPDATA 'Programs\machine-sidecar'),
    # A tarball that is here already, which is believed as it is.
    [string] $From,
    # A service of the machine instead of this user: for an administrator.
    [switch] $System,
    [int] $Port,
    # Only install the program.
    [switch] $NoService,
    # Remove the service, the command and the program; jobs, their output and the key stay.
    [switch] $Uninstall,
    # Say what would be done, and do nothing.
    [switch] $DryRun
)

Set-StrictMode -Version 3
$ErrorActionPreference = 'Stop'

function Main {
    Assert-Node
    if ($Uninstall) {
        Uninstall-All
        return
    }
    $registry = if ($env:SIDECAR_REGISTRY) { $env:SIDECAR_REGISTRY } else { 'https://registry.npmjs.org' }
    $source = if ($From) { (Resolve-Path -LiteralPath $From).Path } else { "machine-sidecar@$Version from $registry" }
    if ($DryRun) {
        Write-Host "This would be done:`n  get   $source`n  write $Prefix\VERSION`n  write $Prefix\bin\sidecar.cmd"
        if (-not $NoService) { Write-Host '  run   sidecar install' }
        return
    }
    $staging = Join-Path $Prefix ".new-$PID"
    New-Item -ItemType Directory -Force -Path $staging, (Join-Path $Prefix 'bin') | Out-Null
    try {
        $tarball = Join-Path $staging 'package.tgz'
        if ($From) { Copy-Item -LiteralPath $source -Destination $tarball } else { Get-Tarball $registry $tarball }
        $installed = Expand-Package $tarball $staging
    } finally {
        Remove-Item -Recurse -Force -LiteralPath $staging
    }
    Install-Command $installed
    if ($NoService) {
        Write-Host "Start it with: $Prefix\bin\sidecar.cmd serve --wrapper"
        return
    }
    $flags = @($(if ($System) { '--system' } else { '--user' })) + $(if ($Port) { @('--port', "$Port") } else { @() })
    & node (Join-Path $installed 'dist\cli\main.js') install @flags
    if ($LASTEXITCODE -ne 0) {
        throw "It is installed, but not as a service. Start it yourself: $Prefix\bin\sidecar.cmd serve --wrapper"
    }
}

function Assert-Node {
    $where = 'get it from https://nodejs.org/en/download (or: winget install OpenJS.NodeJS.LTS), ' +
        'open a new terminal, and run this again'
    if (-not (Get-Command node -ErrorAction SilentlyContinue)) { throw "Node 20.11 or later is needed: $where" }
    if ([version](& node --version).TrimStart('v') -lt [version]'20.11') {
        throw "Node 20.11 or later is needed, this is $(& node --version): $where"
    }
}

# The registry's word is not enough: the hash of the tarball must be signed by a key that this script knows.
function Get-Tarball([string] $registry, [string] $target) {
    $program = @'
import { createHash, createPublicKey, verify } from 'node:crypto';
import { writeFileSync } from 'node:fs';
const [name, wanted, registry, target] = process.argv.slice(2);
// https://registry.npmjs.org/-/npm/v1/keys; an expired key is good for what was published before.
const keys = [
  { keyid: 'SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA', expires: '2025-01-29T00:00:00.000Z',
    key: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1Olb3zMAFFxXKHiIkQO5cJ3Yhl5i'
      + '6UPp+IhuteBJbuHcA5UogKo0EWtlWwW6KSaKoTNEYL7JlCQiVnkhBktUgg==' },
  { keyid: 'SHA256:DhQ8wR5APBvFHLF/+Tc+AYvPOdTpcIDqOhxsBHRwC7U', expires: null,
    key: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEY6Ya7W++7aUPzvMTrezH6Ycx3c+H'
      + 'OKYCcNGybJZSCJq/fd7Qa8uuAKtdIkUQtQiEKERhAmE5lMMJhP8OkDOa2g==' },
];
const fail = (message) => { throw new Error(message); };
const read = async (url) => {
  const response = await fetch(url, { signal: AbortSignal.timeout(300_000) });
  return response.ok ? Buffer.from(await response.arrayBuffer()) : fail(`${url} answers ${response.status}`);
};
const { versions, 'dist-tags': tags, time } = JSON.parse(await read(`${registry.replace(/\/+$/, '')}/${name}`));
const version = Object.hasOwn(versions, wanted) ? wanted : tags[wanted];
const dist = versions[version]?.dist ?? fail(`the registry has no ${name}@${wanted}`);
const { tarball, integrity, signatures = [] } = dist;
const id = `${name}@${version}`;
if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity)) fail(`${id} has no sha512 integrity`);
if (registry.startsWith('https:') && !tarball.startsWith('https:')) fail(`${tarball} is not served by https`);
const signed = signatures.flatMap(({ keyid, sig }) =>
  keys.filter((key) => key.keyid === keyid).map((key) => ({ ...key, sig })));
const isRight = ({ key, sig }) => verify('sha256', Buffer.from(`${id}:${integrity}`),
  createPublicKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'spki' }), Buffer.from(sig, 'base64'));
if (signed.length === 0 || !signed.every(isRight)) fail(`${id} is not signed by a key that is trusted here`);
const isInTime = ({ expires }) => expires === null || Date.parse(time[version]) < Date.parse(expires);
if (!signed.some(isInTime)) fail(`${id} was signed by a key that had expired`);
const bytes = await read(tarball);
const actual = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
if (actual !== integrity) fail(`${tarball} is not what was signed`);
writeFileSync(target, bytes);
'@
    Write-Host "downloading machine-sidecar@$Version from $registry"
    $program | & node '--input-type=module' '-' machine-sidecar $Version $registry $target
    if ($LASTEXITCODE -ne 0) {
        throw 'Cannot download it. Behind a proxy or without a network: ' +
            'fetch the tarball by other means, and use -From FILE'
    }
}

function Expand-Package([string] $tarball, [string] $staging) {
    # Windows has tar since 10, version 1803.
    & tar -xzf $tarball -C $staging
    $package = Join-Path $staging 'package'
    if ($LASTEXITCODE -ne 0 -or -not (Test-Path (Join-Path $package 'dist\cli\main.js'))) {
        throw 'The tarball is not machine-sidecar as it is published'
    }
    $found = (Get-Content -Raw (Join-Path $package 'package.json') | ConvertFrom-Json).version
    if ($found -notmatch '^[0-9A-Za-z][0-9A-Za-z.+-]*$') { throw 'The tarball has no proper version' }
    $target = Join-Path $Prefix $found
    if (Test-Path -LiteralPath $target) { Remove-Item -Recurse -Force -LiteralPath $target }
    Move-Item -LiteralPath $package -Destination $target
    Write-Host "installed machine-sidecar $found in $target"
    return $target
}

function Install-Command([string] $installed) {
    $bin = Join-Path $Prefix 'bin'
    # Relative to itself: a path of this user may hold letters that cmd.exe reads in another encoding.
    $line = "@node `"%~dp0..\$(Split-Path -Leaf $installed)\dist\cli\main.js`" %*"
    $line | Set-Content -Encoding Ascii (Join-Path $bin 'sidecar.cmd')
    if (-not (($env:PATH -split ';') -contains $bin)) { Write-Host "$bin is not on your PATH: add it there" }
}

function Uninstall-All {
    $bin = Join-Path $Prefix 'bin'
    $command = Join-Path $bin 'sidecar.cmd'
    $folders = @(Get-ChildItem -Directory -LiteralPath $Prefix -ErrorAction SilentlyContinue)
    $programs = @($folders | Where-Object { Test-Program $_.FullName })
    if ($programs.Count -eq 0 -and -not (Test-Path -LiteralPath $command)) {
        Write-Host "machine-sidecar is not installed in $Prefix"
        return
    }
    if (-not $NoService -and $programs.Count -gt 0) {
        $flags = @(if ($System) { '--system' }) + @(if ($DryRun) { '--dry-run' })
        & node (Join-Path $programs[-1].FullName 'dist\cli\main.js') uninstall @flags
        if ($LASTEXITCODE -ne 0) { throw 'The service cannot be removed; -NoService leaves it, and removes the rest' }
    }
    if (Test-Path -LiteralPath $command) { Remove-Target $command }
    foreach ($program in $programs) { Remove-Target $program.FullName }
    if ($DryRun) { return }
    foreach ($folder in @($bin, $Prefix)) {
        if (-not (Test-Path -LiteralPath $folder)) { continue }
        if (@(Get-ChildItem -Force -LiteralPath $folder).Count -eq 0) { Remove-Item -LiteralPath $folder }
    }
}

function Test-Program([string] $folder) {
    $about = Join-Path $folder 'package.json'
    $main = Join-Path $folder 'dist\cli\main.js'
    if (-not ((Test-Path -LiteralPath $about) -and (Test-Path -LiteralPath $main))) { return $false }
    return (Get-Content -Raw -LiteralPath $about) -match '"name": *"machine-sidecar"'
}

function Remove-Target([string] $path) {
    if ($DryRun) {
        Write-Host "would remove $path"
        return
    }
    Remove-Item -Recurse -Force -LiteralPath $path
    Write-Host "removed $path"
}

Main
