import { join } from 'node:path';
import type { BindMount } from '../../garden/garden.js';
import { CERTIFICATE_FILE, CREDENTIALS_MOUNT, CredentialFiles, KEY_FILE } from '../credentials/credential-files.js';
import type { RunRequest } from '../executor.js';
import type { CellContext } from './cell-context.js';

/** What the cell itself puts into a container, and the variables that say where (spec cell §24, layer 4). */
export interface CellMounts {
  mounts: BindMount[];
  variables: Record<string, string>;
}

type Context = Pick<CellContext, 'issuer' | 'credentialsDirectory' | 'config'>;

/** Trusted certificates where cell and definition both want them; the container's own certificate where the cell makes them. */
export function cellMounts(guid: string, { container }: Pick<RunRequest, 'container'>, cell: Context): CellMounts {
  const mounts: BindMount[] = [];
  const variables: Record<string, string> = {};
  const { trustedCertificatesDir } = cell.config;
  const trusted = container.trustedSystemCertificatesPath;
  if (trustedCertificatesDir !== '' && trusted !== '') {
    mounts.push({ source: trustedCertificatesDir, destination: trusted, readOnly: true });
    variables.CF_SYSTEM_CERT_PATH = trusted;
  }
  const credentials = credentialFiles(guid, cell);
  if (credentials) {
    mounts.push({ source: credentials.directory, destination: CREDENTIALS_MOUNT, readOnly: true });
    variables.CF_INSTANCE_CERT = `${CREDENTIALS_MOUNT}/${CERTIFICATE_FILE}`;
    variables.CF_INSTANCE_KEY = `${CREDENTIALS_MOUNT}/${KEY_FILE}`;
  }
  return { mounts, variables };
}

/** Where a container's certificate is kept; undefined when this cell makes none. */
export function credentialFiles(guid: string, cell: Omit<Context, 'config'>): CredentialFiles | undefined {
  return cell.issuer && new CredentialFiles(join(cell.credentialsDirectory, guid));
}
