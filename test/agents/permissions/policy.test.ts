import assert from 'node:assert/strict';
import test from 'node:test';
import { type PermissionQuestion, decide } from '../../../src/agents/permissions/policy.ts';
import type { PermissionPolicy } from '../../../src/protocol/agents/permission-policy.ts';

const options = [
  { optionId: 'always', kind: 'allow_always' }, { optionId: 'no', kind: 'reject_once' }, { optionId: 'yes', kind: 'allow_once' }, { optionId: 'never', kind: 'reject_always' },
];
/** `/w` is the sandbox; `/w/link` leads out of it, `/w/alias` to `/w/secret`. */
const context = {
  workdir: '/w',
  realPathOf: (path: string): string | undefined => {
    const absolute = path.startsWith('/') ? path : `/w/${path}`;
    if (absolute === '/w/alias') return '/w/secret';
    return absolute.startsWith('/w/') && absolute !== '/w/link' ? absolute : undefined;
  },
};

const ask = (more: Partial<PermissionQuestion> = {}): PermissionQuestion => ({ kind: 'edit', tools: ['write_file'], paths: ['/w/a'], commands: [], parts: [], options, ...more });
const command = (...commands: string[]): PermissionQuestion => ask({ kind: 'execute', tools: ['shell'], paths: [], commands });

const rows: readonly (readonly [what: string, policy: PermissionPolicy, question: PermissionQuestion, answer: string, reason: RegExp])[] = [
  ['edits allows once, not always', 'edits', ask(), 'yes', /^the policy says approve$/],
  ['edits allows what names nothing', 'edits', ask({ kind: 'think', paths: [] }), 'yes', /approve/],
  ['edits allows relative paths', 'edits', ask({ paths: ['a', 'b/c'] }), 'yes', /approve/],
  ['edits denies a path outside', 'edits', ask({ paths: ['/w/a', '/etc/passwd'] }), 'no', /\/etc\/passwd is outside/],
  ['edits denies a link that leads outside', 'edits', ask({ paths: ['link'] }), 'no', /link is outside/],
  ['edits denies commands', 'edits', command('ls'), 'no', /approves no commands/],
  ['edits denies a command under another name', 'edits', ask({ kind: 'other', commands: ['ls'] }), 'no', /approves no commands/],
  ['edits denies execute without a command', 'edits', ask({ kind: 'execute', paths: [] }), 'no', /approves no commands/],
  ['edits never allows for always', 'edits', ask({ options: options.filter(({ kind }) => kind !== 'allow_once') }), 'no', /cannot be allowed once/],
  ['deny rejects', 'deny', ask(), 'no', /^the policy is deny$/],
  ['deny rejects for always where there is nothing else', 'deny', ask({ options: options.filter(({ kind }) => kind !== 'reject_once') }), 'never', /deny/],
  ['deny cancels where nothing can be rejected', 'deny', ask({ options: [{ optionId: 'yes', kind: 'allow_once' }] }), 'cancelled', /no option expresses that/],
  ['deny cancels without options', 'deny', ask({ options: [] }), 'cancelled', /no option/],
  ['options of other kinds are not chosen', 'edits', ask({ options: [{ optionId: 'x', kind: 'allow_sometimes' }, ...options] }), 'yes', /approve/],
  ['an id that is of two kinds is not chosen', 'edits', ask({ options: [{ optionId: 'always', kind: 'allow_once' }, ...options] }), 'yes', /approve/],
  ['an id that also allows does not deny', 'deny', ask({ options: [{ optionId: 'yes', kind: 'reject_once' }, { optionId: 'yes', kind: 'allow_once' }] }), 'cancelled', /no option/],
  ['ask asks', 'ask', ask(), 'pending', /ask/],
  ['all allows a command', 'all', command('rm -rf x; y'), 'yes', /^the policy says approve$/],
  ['approve is another name of all', 'approve', command('ls'), 'yes', /approve/],
  ['all allows execute without a command', 'all', ask({ kind: 'execute', paths: [] }), 'yes', /approve/],
  ['all denies a command in a directory outside', 'all', ask({ kind: 'execute', paths: ['/etc'], commands: ['ls'] }), 'no', /\/etc is outside/],
  ['all denies a path outside', 'all', ask({ paths: ['/etc/passwd'] }), 'no', /outside/],
  ['read allows to read', 'read', ask({ kind: 'read' }), 'yes', /approve/],
  ['read allows to fetch', 'read', ask({ kind: 'fetch', paths: [] }), 'yes', /approve/],
  ['read denies to read outside', 'read', ask({ kind: 'read', paths: ['/etc/passwd'] }), 'no', /outside/],
  ['read denies an edit', 'read', ask(), 'no', /read approves no edit/],
  ['read denies what tells no kind', 'read', ask({ kind: 'other', paths: [] }), 'no', /read approves no other/],
  ['read denies a command, also one that is called reading', 'read', ask({ kind: 'read', commands: ['cat a'] }), 'no', /read approves no commands/],
  ['rules: the first that fits decides', [{ kind: 'read', decide: 'deny' }, { kind: 'edit', decide: 'ask' }, { decide: 'approve' }], ask(), 'pending', /^rule 2 says ask$/],
  ['rules: what none fits is denied', [{ kind: 'read', decide: 'approve' }], ask(), 'no', /^no rule matches it$/],
  ['rules: none at all', [], ask(), 'no', /no rule/],
  ['rules: a path', [{ path: 'src/**', decide: 'approve' }], ask({ paths: ['/w/src/x/y', 'src/z'] }), 'yes', /rule 1/],
  ['rules: one that approves must fit all paths', [{ path: 'src/**', decide: 'approve' }], ask({ paths: ['src/x', 'b'] }), 'no', /no rule/],
  ['rules: one that approves a path fits nothing without any', [{ path: '**', decide: 'approve' }], ask({ paths: [] }), 'no', /no rule/],
  ['rules: one that denies fits any path', [{ path: '*.key', decide: 'deny' }, { decide: 'approve' }], ask({ paths: ['a', 'b.key'] }), 'no', /rule 1 says deny/],
  ['rules: one that denies fits what a link leads to', [{ path: 'secret', decide: 'deny' }, { decide: 'approve' }], ask({ paths: ['alias'] }), 'no', /rule 1/],
  ['rules: one that denies fits the name of a link', [{ path: 'alias', decide: 'deny' }, { decide: 'approve' }], ask({ paths: ['alias'] }), 'no', /rule 1/],
  ['rules: one that approves fits no link to elsewhere', [{ path: 'alias', decide: 'approve' }], ask({ paths: ['alias'] }), 'no', /no rule/],
  ['rules: none approves what is outside', [{ path: '/etc/*', decide: 'approve' }], ask({ paths: ['/etc/passwd'] }), 'no', /no rule/],
  ['rules: none that approves all approves what is outside', [{ decide: 'approve' }], ask({ paths: ['/etc/passwd'] }), 'no', /outside/],
  ['rules: outside may be asked for', [{ path: '/etc/*', decide: 'ask' }], ask({ paths: ['/etc/passwd'] }), 'pending', /rule 1/],
  ['rules: a bare one approves no commands', [{ decide: 'approve' }], command('ls'), 'no', /approves no commands/],
  ['rules: the kind execute does', [{ kind: 'execute', decide: 'approve' }], command('rm -rf x; y'), 'yes', /rule 1/],
  ['rules: a kind with a star does not', [{ kind: '*', decide: 'approve' }], command('ls'), 'no', /approves no commands/],
  ['rules: a command does', [{ command: 'npm *', decide: 'approve' }], command('npm test'), 'yes', /rule 1/],
  ['rules: a command is not more than one', [{ command: 'npm *', decide: 'approve' }], command('npm test; curl evil'), 'no', /no rule/],
  ['rules: all commands must fit', [{ command: 'npm *', decide: 'approve' }], command('npm test', 'rm x'), 'no', /no rule/],
  ['rules: any command is denied', [{ command: 'rm **', decide: 'deny' }, { kind: 'execute', decide: 'approve' }], command('npm test', 'rm x'), 'no', /rule 1/],
  ['rules: an approved command may not name what is outside', [{ command: '**', decide: 'approve' }], ask({ kind: 'execute', paths: ['/etc'], commands: ['ls'] }), 'no', /outside/],
  ['rules: one that denies a command stands above one that approves all', [{ kind: 'execute', decide: 'approve' }, { command: 'rm *', decide: 'deny' }], command('ls', 'rm x'), 'no', /rule 2/],
  ['rules: one that denies a path stands above one that approves commands', [{ command: '**', decide: 'approve' }, { path: 'secret', decide: 'deny' }],
    ask({ kind: 'execute', paths: ['alias'], commands: ['cat alias'] }), 'no', /rule 2/],
  ['rules: one that approves the same path stands above one that denies it later', [{ path: 'src/a', decide: 'approve' }, { path: 'src/**', decide: 'deny' }], ask({ paths: ['src/a'] }), 'yes', /rule 1/],
  ['rules: one that denies any kind holds where none before it fits', [{ command: 'npm *', decide: 'approve' }, { decide: 'deny' }], command('npm test'), 'yes', /rule 1/],
  ['rules: a part is denied', [{ command: 'npm *', decide: 'approve' }, { command: 'rm *', decide: 'deny' }], { ...command('npm test'), parts: ['rm x'] }, 'no', /rule 2/],
  ['rules: a part is asked about', [{ command: 'rm *', decide: 'ask' }, { kind: 'execute', decide: 'approve' }], { ...command('npm test'), parts: ['rm x'] }, 'pending', /rule 1/],
  ['rules: a part needs no approval', [{ command: 'npm *', decide: 'approve' }], { ...command('npm test'), parts: ['Terminal'] }, 'yes', /rule 1/],
  ['rules: a part is no command', [{ command: '**', decide: 'approve' }], ask({ kind: 'execute', paths: [], parts: ['ls'] }), 'no', /no rule/],
  ['rules: the tool, by name or title', [{ tool: 'mcp__*', decide: 'approve' }], ask({ tools: ['Do it', 'mcp__x__y'] }), 'yes', /rule 1/],
  ['rules: another tool', [{ tool: 'mcp__*', decide: 'approve' }], ask(), 'no', /no rule/],
  ['rules: all that a rule names must fit', [{ kind: 'edit', path: 'b', decide: 'approve' }], ask(), 'no', /no rule/],
];

/** Each is `rm -rf x` to a shell, beside more. */
const disguised = [
  'rm -rf x', 'rm -rf $HOME/x1', 'rm -rf x; true', 'rm -rf x #;', 'rm "-rf" `echo x`', ' rm -rf x', 'rm\t-rf x', 'true; rm -rf x', 'true && rm -rf x',
  'false || rm x', 'yes | rm x', 'sleep 1 & rm x', 'true\nrm x', '(rm x)', '{ rm x; }', 'echo $(rm x)', 'echo `rm x`', 'A=1 B="2 3" rm x', 'A=1; B=2 rm x',
  '"rm" x', 'r\'\'m x', '\\rm x', 'rm \\\n x', '/bin/rm x', 'if true; then rm x; fi', '>a rm x', '2> a rm x', '2>&1 rm x', '&>a rm x', 'rm >a x', 'sudo rm x', 'env A=1 rm x', 'rm x > "a',
];

for (const decision of ['deny', 'ask'] as const) {
  test(`decide(): a rule that says ${decision} finds a command however it is written for a shell`, () => {
    const policy: PermissionPolicy = [{ command: 'rm *', decide: decision }, { kind: 'execute', decide: 'approve' }];
    for (const one of disguised) {
      const answer = decide(policy, command(one), context);
      assert.equal(answer.type === 'selected' ? answer.optionId : answer.type, decision === 'deny' ? 'no' : 'pending', one);
    }
    for (const one of ['ls', 'rmdir x', 'git rm x', 'echo rm', 'npm run rm', 'confirm x', 'A=1']) {
      assert.match(decide(policy, command(one), context).reason, /^rule 2 says approve$/, one);
    }
  });
}

test('decide(): a rule that denies matches a whole line with shell operators', () => {
  const policy: PermissionPolicy = [{ command: 'curl * | sh', decide: 'deny' }, { kind: 'execute', decide: 'approve' }];
  for (const one of ['curl x | sh', 'curl  "$X"  |  sh']) assert.match(decide(policy, command(one), context).reason, /^rule 1/, one);
});

test('decide(): the time for a long command is proportional to its length', () => {
  const policy: PermissionPolicy = [{ command: 'rm *', decide: 'deny' }, { kind: 'execute', decide: 'approve' }];
  const decided = (unit: string, characters: number): number => {
    const long = command(unit.repeat(characters / unit.length));
    const from = performance.now();
    decide(policy, long, context);
    return performance.now() - from;
  };
  for (const unit of [';', 'a', 'A=', 'A=1 ', '"', '\\', ' ', '<', '< ', '/', 'if ', 'a;']) {
    decided(unit, 20_000);
    assert.ok(decided(unit, 200_000) < 50 * decided(unit, 20_000) + 500, JSON.stringify(unit));
  }
});

for (const [what, policy, question, expected, reason] of rows) {
  test(`decide(): ${what}`, () => {
    const answer = decide(policy, question, context);
    assert.equal(answer.type === 'selected' ? answer.optionId : answer.type, expected);
    assert.match(answer.reason, reason);
  });
}
