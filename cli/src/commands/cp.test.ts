import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AccessServiceService as access } from '@rivera/gen/rivera/access/v1/access_service';
import { statusOf } from '@rivera/sdk/testing/fake-server';
import { afterAll, describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { WithServer } from '../testing/with-server.js';

/** Number of gRPC. */
const INVALID_ARGUMENT = 3;

const fake = new WithServer();
const folder = mkdtempSync(join(tmpdir(), 'rivera-cli-cp-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('rivera cp', () => {
  it('says before it fetches anything that there is no folder, and how to make it', async () => {
    const missing = join(folder, 'none', 'below');
    for (const target of [`${missing}/`, join(missing, 'name')]) {
      const { exitCode, stderr } = await fake.rivera(['cp', 'hello:/etc', target]);
      expect(exitCode).toBe(EXIT.local);
      expect(stderr).toContain(`mkdir -p ${missing}`);
    }
    const file = join(folder, 'file');
    writeFileSync(file, 'x');
    expect((await fake.rivera(['cp', 'hello:/etc', `${file}/`])).stderr).toContain(`${file} is no folder`);
  });

  it('says what may stand in the way of a copy that the cell refused', async () => {
    fake.server.collecting(access.writeFiles, async (call) => {
      call.resume();
      throw statusOf(INVALID_ARGUMENT, 'stream-in: it could not be read', { reason: 'INVALID_REQUEST' });
    });
    const file = join(folder, 'file');
    writeFileSync(file, 'x');
    const { exitCode, stderr } = await fake.rivera(['cp', '-u', 'nobody', file, 'hello:/www']);
    expect(exitCode).toBe(EXIT.answered);
    expect(stderr).toContain('hello/0:/www/');
    expect(stderr).toContain('Without --user it is done as root.');
  });
});
