import { X509Certificate } from 'node:crypto';
import { mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstanceCertificate } from '@rivera/kit/tls/instance-issuer';

/** Where they appear in the container. */
export const CREDENTIALS_MOUNT = '/etc/cf-instance-credentials';
export const CERTIFICATE_FILE = 'instance.crt';
export const KEY_FILE = 'instance.key';

/** The directory that holds both files, by a link that is replaced. */
const CURRENT = '..current';
const VERSION = /^\.\.v\d+$/;

/**
 * A container's certificate and key in a directory that is mounted into it. Both lie in a directory of their own, and what the
 * container opens are links through one link to it; a new pair is a new directory and one rename. Whoever resolves that link once has
 * a certificate with its own key; the pair before stays for them until the next replacement. The host's directory above is its
 * owner's alone; within the container everybody may read, since programs are run by whichever user.
 */
export class CredentialFiles {
  constructor(readonly directory: string) {}

  /** Makes the empty directory, for the mount. */
  async prepare(): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o755 });
  }

  /** Puts a pair in the place of the one before. */
  async replace({ chainPem, keyPem }: InstanceCertificate): Promise<void> {
    const versions = await this.#versions();
    const before = await readlink(join(this.directory, CURRENT)).catch(() => '');
    const number = Math.max(0, ...versions.map((name) => Number(name.slice(3)))) + 1;
    const version = `..v${number}`;
    await mkdir(join(this.directory, version), { mode: 0o755 });
    await writeFile(join(this.directory, version, CERTIFICATE_FILE), chainPem, { mode: 0o444 });
    await writeFile(join(this.directory, version, KEY_FILE), keyPem, { mode: 0o444 });
    await this.#link(version, CURRENT);
    for (const name of [CERTIFICATE_FILE, KEY_FILE]) await this.#link(`${CURRENT}/${name}`, name);
    for (const name of versions)
      if (name !== before) await rm(join(this.directory, name), { recursive: true, force: true });
  }

  /** The certificate that is there; undefined when there is none, or none that can be read. */
  async certificate(): Promise<X509Certificate | undefined> {
    try {
      return new X509Certificate(await readFile(join(this.directory, CURRENT, CERTIFICATE_FILE)));
    } catch {
      // Half a pair that a crash left is replaced like one that is missing.
      return undefined;
    }
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  async #versions(): Promise<string[]> {
    return (await readdir(this.directory)).filter((name) => VERSION.test(name));
  }

  async #link(target: string, name: string): Promise<void> {
    const draft = join(this.directory, '..draft');
    await rm(draft, { force: true });
    await symlink(target, draft);
    await rename(draft, join(this.directory, name));
  }
}
