import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TlsFiles } from '../options.js';

const execute = promisify(execFile);
const openssl = (args: string[]) => execute('openssl', args);

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];

/** A certificate authority for one test file, in a folder of its own. */
export class TestAuthority {
  private constructor(readonly folder: string) {}

  static async make(): Promise<TestAuthority> {
    const folder = await mkdtemp(join(tmpdir(), 'rivera-sdk-ca-'));
    const files = ['-keyout', join(folder, 'ca.key'), '-out', join(folder, 'ca.crt')];
    await openssl(['req', '-x509', ...NEW_KEY, ...files, '-subj', '/CN=test authority']);
    return new TestAuthority(folder);
  }

  /** Issues a certificate whose subject says what role its holder has. */
  async issue(role: string, name: string = role): Promise<TlsFiles> {
    const [caFile, certFile, keyFile] = ['ca.crt', `${name}.crt`, `${name}.key`].map((f) => join(this.folder, f));
    if (!caFile || !certFile || !keyFile) throw new Error('unreachable');
    await openssl([
      ...['req', '-x509', '-CA', caFile, '-CAkey', join(this.folder, 'ca.key'), ...NEW_KEY],
      ...['-keyout', keyFile, '-out', certFile, '-subj', `/OU=${role}/CN=${name}`],
      ...['-addext', 'basicConstraints=critical,CA:FALSE'],
    ]);
    return { caFile, certFile, keyFile };
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Reads the files of an identity. */
export async function readIdentity({ caFile, certFile, keyFile }: TlsFiles) {
  const [ca, cert, key] = await Promise.all([readFile(caFile), readFile(certFile), readFile(keyFile)]);
  return { ca, cert, key };
}
