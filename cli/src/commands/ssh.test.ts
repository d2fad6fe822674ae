import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { ActualLrpServiceService as actualLrps } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { DesiredLrpServiceService as desiredLrps } from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { SshServiceService as ssh } from '@rivera/gen/rivera/ssh/v1/ssh_service';
import { afterAll, describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { requireForwarding } from '../ssh/way-in.js';
import { instance, lrp, unplaced } from '../testing/fake-installation.js';
import { WithServer } from '../testing/with-server.js';

const fake = new WithServer();
const folder = mkdtempSync(join(tmpdir(), 'rivera-cli-ssh-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const routes = { 'diego-ssh': '{"container_port":2222}' };

/** An installation with SSH and this LRP. @returns how many codes were asked for */
function has(desired = lrp({ routes }), instances = [instance(0), instance(1)]): () => number {
  let codes = 0;
  const endpoint = { address: '127.0.0.1:9', hostKey: 'ssh-ed25519 AAAA', fingerprint: 'SHA256:x', enabled: true };
  fake.server.unary(ssh.getEndpoint, () => endpoint);
  fake.server.unary(ssh.createCode, () => ({ code: `code-${++codes}`, expiresAt: undefined }));
  fake.server.unary(desiredLrps.getDesiredLrp, () => ({ desiredLrp: desired }));
  fake.server.unary(actualLrps.getActualLrp, ({ index }) => ({
    actualLrps: instances.filter(({ key }) => key?.index === index),
  }));
  return () => codes;
}

describe('rivera ssh', () => {
  it.each([
    ['hello/7', lrp({ routes }), [], 'hello has 2 instances, 0 to 1', 'rivera lrp show hello'],
    ['hello/1', lrp({ routes, instances: 1 }), [], 'hello has one instance, 0', 'rivera lrp show hello'],
    ['hello', lrp({ routes, instances: 0 }), [], 'hello is stopped', 'rivera lrp scale hello 1'],
    ['hello/1', lrp(), [instance(1)], 'hello does not let SSH in', 'rivera exec -it hello/1'],
    ['hello/1', lrp({ routes }), [unplaced(1)], 'it is unclaimed, insufficient resources', 'rivera explain hello/1'],
    [
      'hello',
      lrp({ routes }),
      [instance(0, { cellId: '', state: ActualLrpState.CRASHED, crashReason: 'Exited with status 3' })],
      'it is crashed, Exited with status 3',
      'rivera explain hello/0',
    ],
    ['hello', lrp({ routes }), [], 'hello/0 does not run: it is not there yet', 'rivera explain hello/0'],
  ])(
    'into %s says what stands against it and what helps, and asks for no code',
    async (name, desired, rows, why, help) => {
      const codes = has(desired, rows);
      const { exitCode, stderr } = await fake.rivera(['ssh', name, '--', 'true']);
      expect({ exitCode, codes: codes() }).toEqual({ exitCode: EXIT.answered, codes: 0 });
      expect(stderr).toContain(why);
      expect(stderr).toContain(help);
    },
  );

  it('takes options before the name, as what follows is the command', async () => {
    const codes = has();
    const { exitCode, stderr } = await fake.rivera(['ssh', 'hello', '-N', '-L', '80:a:80']);
    expect({ exitCode, codes: codes() }).toEqual({ exitCode: EXIT.usage, codes: 0 });
    expect(stderr).toContain('rivera ssh -N -L 80:a:80 hello');
  });

  it('knows what can be forwarded', () => {
    for (const fine of ['80:a:80', 'localhost:80:a:80', ':80:[::1]:80', '[::1]:80:a:80', '*:80:a:80', '/run/x:a:80']) {
      expect(() => requireForwarding('L', fine)).not.toThrow();
    }
    for (const wrong of ['80', 'a:80', '80:a:b', 'x:80:a:80:y']) {
      expect(() => requireForwarding('L', wrong)).toThrow('is not [bind:]port:host:port');
    }
  });
});

it('rivera lrp show tells that SSH gets in, and none of the keys in the route', async () => {
  has(lrp({ routes: { 'diego-ssh': '{"container_port":2222,"password":"hidden"}', other: 'shown' } }));
  fake.server.unary(actualLrps.listActualLrps, () => ({ actualLrps: [], nextPageToken: '', revision: 1 }));
  const { stdout } = await fake.rivera(['lrp', 'show', 'hello']);
  expect(stdout).toContain('diego-ssh: set; other: shown');
  expect(stdout).not.toContain('hidden');
});

it('rivera ssh-config is for instances that are wanted', async () => {
  has();
  expect(await fake.rivera(['ssh-config', 'hello/7'])).toMatchObject({ exitCode: EXIT.answered, stdout: '' });
  expect((await fake.rivera(['ssh-config', 'hello/1'])).stdout).toContain('Host hello-1\n');
});

it('rivera ssh-key sends no private key anywhere', async () => {
  const sent: unknown[] = [];
  fake.server.unary(ssh.addKey, (request) => {
    sent.push(request);
    return { key: undefined };
  });
  const file = join(folder, 'id_ed25519');
  writeFileSync(file, '-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n-----END OPENSSH PRIVATE KEY-----\n');
  const { exitCode, stderr } = await fake.rivera(['ssh-key', 'add', file]);
  expect({ exitCode, sent }).toEqual({ exitCode: EXIT.usage, sent: [] });
  expect(stderr).toContain(`rivera ssh-key add ${file}.pub`);
  expect(stderr).not.toContain('secret');
});
