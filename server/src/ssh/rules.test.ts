import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Action } from '@rivera/gen/rivera/recipe/v1/action';
import { afterAll, describe, expect, it } from 'vitest';
import { sameText } from './authenticator.js';
import { programOf } from './command.js';
import { sshConfig } from './config.js';
import { SessionEnvironment } from './environment.js';
import { endingOf } from './exit.js';
import { loadHostKey } from './host-key.js';
import { PublicKeys, parsePublicKey } from './public-keys.js';
import { findTarget, mainProcess, requireOpen } from './target.js';

describe('the end of a process', () => {
  it.each([
    [{ code: 3, signal: '' }, false, [], { status: 3 }],
    [{ code: 143, signal: '' }, false, [], { signal: 'TERM' }],
    [{ code: 137, signal: '' }, false, [], { signal: 'KILL' }],
    [{ code: 130, signal: '' }, false, [], { status: 130 }],
    [{ code: 130, signal: '' }, false, ['INT'], { signal: 'INT' }],
    [{ code: 143, signal: '' }, true, [], { status: 143 }],
    [{ code: 143, signal: '' }, true, ['TERM'], { signal: 'TERM' }],
    [{ code: 255, signal: '' }, false, [], { status: 255 }],
    [{ code: 128, signal: 'KILL' }, true, [], { signal: 'KILL' }],
  ] as const)('%o, interactive %o, sent %o', (exit, interactive, sent, ending) => {
    expect(endingOf(exit, { interactive, sent: new Set(sent) })).toEqual(ending);
  });
});

describe("a client's variables", () => {
  it('are those that are allowed, never HOME and USER, and bounded', () => {
    const env = new SessionEnvironment(['LC_*', 'FOO']);
    expect(['FOO', 'LC_ALL', 'LC_', 'BAR', 'FOOD', 'HOME', 'A=B', ''].filter((name) => env.set(name, 'x'))).toEqual([
      'FOO',
      'LC_ALL',
      'LC_',
    ]);
    expect(env.set('FOO', 'a\0b')).toBe(false);
    const any = new SessionEnvironment(['*']);
    expect([any.set('HOME', '/'), any.set('USER', 'x'), any.set('BIG', 'x'.repeat(70_000))]).toEqual([
      false,
      false,
      false,
    ]);
    const taken = Array.from({ length: 200 }, (_, i) => any.set(`V${i}`, '')).filter(Boolean);
    expect(taken.length).toBe(128);
  });

  it("win over the application's", () => {
    const env = new SessionEnvironment(['*']);
    env.set('A', 'client');
    expect(env.over({ A: 'app', B: 'app', HOME: '/x' })).toEqual(['A=client', 'B=app']);
  });
});

describe('what is run', () => {
  it('is a login shell, a command of the shell with the scp of the tools, or sftp', () => {
    expect(programOf({ kind: 'shell' })).toEqual({ path: '', args: ['-l'] });
    expect(programOf({ kind: 'exec', command: 'ls | scp' })).toEqual({ path: '', args: ['-c', 'ls | scp'] });
    expect(programOf({ kind: 'exec', command: ' scp -t /x' })?.args[1]).toBe('/.rivera/ssh/bin/scp -t /x');
    expect(programOf({ kind: 'exec', command: 'scpx' })?.args[1]).toBe('scpx');
    expect(programOf({ kind: 'subsystem', name: 'sftp' })?.path).toContain('sftp-server');
    expect(programOf({ kind: 'subsystem', name: 'foo' })).toBeUndefined();
  });

  it("is its user's whom the application runs as, wherever its action is", () => {
    const run = {
      action: {
        $case: 'runAction',
        value: {
          path: '/x',
          user: 'vcap',
          env: [
            { name: 'A', value: '1' },
            { name: 'PATH', value: '/y' },
          ],
        },
      },
    };
    const nested = {
      action: {
        $case: 'codependentAction',
        value: { actions: [{ action: { $case: 'timeoutAction', value: { action: run } } }] },
      },
    };
    expect(mainProcess(Action.fromPartial(nested as never))).toEqual({ user: 'vcap', env: { A: '1' } });
    expect(mainProcess(undefined)).toEqual({ user: '', env: {} });
  });
});

describe('an LRP', () => {
  const desired = (route: string | undefined, domain = 'apps') => {
    const routes: Record<string, string> = {};
    if (route !== undefined) routes['diego-ssh'] = route;
    return { domain, routes };
  };
  it.each([
    [undefined, 'SSH routing info not found'],
    ['{', 'SSH routing info is not JSON'],
    ['[]', 'no container_port'],
    ['{"container_port":"2222"}', 'no container_port'],
    ['{"container_port":0}', 'no container_port'],
  ])('with the route %j is not entered', (route, why) => {
    expect(() => requireOpen(desired(route), { disabledDomains: [] })).toThrow(why);
  });

  it('is entered with a route that has more than it needs, unless its domain is closed', () => {
    const open = desired('{"container_port":2222,"host_256_fingerprint":"x","new":1}');
    expect(() => requireOpen(open, { disabledDomains: ['other'] })).not.toThrow();
    expect(() => requireOpen(open, { disabledDomains: ['apps'] })).toThrow('SSH Disabled');
  });
});

it('nothing is entered where SSH is switched off, and nobody is asked', async () => {
  const parts = { client: undefined, directory: undefined, config: sshConfig.parse({ enabled: false }) };
  const wanted = { processGuid: 'p', index: 0, signal: new AbortController().signal };
  await expect(findTarget(parts as never, wanted)).rejects.toThrow('SSH Disabled');
});

describe('keys', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rivera-keys-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('of the host are made once, for their owner alone', () => {
    const file = join(folder, 'host');
    const first = loadHostKey(file);
    expect(loadHostKey(file)).toEqual(first);
    expect(first.fingerprint).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(parsePublicKey(`${first.publicLine} a comment`).fingerprint).toBe(first.fingerprint);
    writeFileSync(join(folder, 'bad'), 'no key');
    expect(() => loadHostKey(join(folder, 'bad'))).toThrow(/bad holds no private key/);
    expect(() => parsePublicKey(first.privateKey)).toThrow('is a private key');
    expect(() => parsePublicKey('ssh-ed25519 AAAA')).toThrow('is no public key');
  });

  it('of a file log in, which is read again when it changed; a line that is not understood opens nothing', async () => {
    const [known, other] = ['known', 'other'].map((name) => loadHostKey(join(folder, name)).publicLine) as [
      string,
      string,
    ];
    const blobOf = (line: string) => Buffer.from(line.split(' ')[1] ?? '', 'base64');
    const file = join(folder, 'authorized_keys');
    const warned: string[] = [];
    const nothing = { findKey: async () => undefined };
    const keys = new PublicKeys(nothing as never, file, (_facts, text) => warned.push(text));
    const find = (line: string) => keys.find('ssh-ed25519', blobOf(line));
    await expect(find(known)).rejects.toThrow('is not registered');
    expect(warned).toEqual(['the file of authorized keys is missing or too large']);
    writeFileSync(file, `# people\n\n${known} ada@example\ncommand="/bin/false" ${other}\n`);
    expect(await find(known)).toMatchObject({ name: 'ada@example', processGuids: [] });
    await expect(find(other)).rejects.toThrow('is not registered');
    expect(warned.at(-1)).toBe('a line of the authorized keys is not used');
    writeFileSync(file, `${other} bob\n`);
    utimesSync(file, 1, 1);
    expect(await find(other)).toMatchObject({ name: 'bob' });
    await expect(find(known)).rejects.toThrow('is not registered');
  });

  it('and passwords are the same or not', () => {
    expect([sameText('a', 'a'), sameText('a', 'b'), sameText('', ''), sameText('a', 'aa')]).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });
});
