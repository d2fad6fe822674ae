import { duration } from '@rivera/kit/config/quantities';
import { z } from 'zod';

/** Fast in Node and authenticated in one; OpenSSH's client would choose aes128-ctr before them if that were offered too. */
export const PREFERRED_CIPHERS = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'] as const;
const CIPHERS = [...PREFERRED_CIPHERS, 'aes256-ctr', 'aes192-ctr', 'aes128-ctr'] as const;

const count = (least: number, usual: number) => z.number().int().min(least).max(100_000).default(usual);

/** Settings of the SSH proxy. */
export const sshConfig = z.object({
  listen: z.string().default('0.0.0.0:2222').describe('host:port of SSH'),
  advertise: z.string().default('').describe('host:port that people reach it at, e.g. of a balancer; empty: as listen'),
  hostKey: z
    .string()
    .default('')
    .describe(
      'File with the ed25519 host key, made if missing; all proxies behind one address have the same. Role ssh needs it',
    ),
  healthListen: z.string().default('').describe('host:port where GET / answers 200 while SSH is served; empty: none'),
  enabled: z.boolean().default(true).describe('false: nobody gets in, whatever an LRP says'),
  disabledDomains: z.array(z.string()).default([]).describe('Domains whose LRPs nobody gets into'),
  diego: z
    .object({
      enabled: z.boolean().default(false).describe('Whether users diego:GUID/INDEX get in with the credential'),
      credential: z.string().default('').describe('Their password'),
    })
    .prefault({})
    .describe('Operators, as in the reference'),
  cf: z
    .object({
      enabled: z.boolean().default(false).describe('Whether users cf:GUID/INDEX get in with a one-time code'),
      tokenUrl: z.string().default('').describe('Where the code is changed for a token'),
      clientId: z.string().default('ssh-proxy').describe('Who we are there'),
      clientSecret: z.string().default('').describe('And our password there'),
      authority: z.string().default('').describe('URL of the one who knows what a user may reach'),
      timeout: duration({ min: '100ms', max: '1m' }).default(10_000).describe('Time for each of the two questions'),
    })
    .prefault({})
    .describe('Users of Cloud Foundry'),
  authorizedKeys: z
    .string()
    .default('')
    .describe('File of public keys as OpenSSH has it; they open every LRP that lets SSH in'),
  codeTtl: duration({ min: '5s', max: '1h' }).default(120_000).describe('How long a code of `rivera ssh-code` is good'),
  acceptEnv: z
    .array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*\*?$|^\*$/, 'must be a name, perhaps with * at its end'))
    .default(['*'])
    .describe('Variables that a client may set, * at the end for any rest; HOME and USER never'),
  ciphers: z
    .array(z.enum(CIPHERS))
    .min(1)
    .default([...PREFERRED_CIPHERS])
    .describe('Ciphers on offer; for clients without AES-GCM add aes256-ctr'),
  proxyProtocol: z
    .boolean()
    .default(false)
    .describe(
      "Whether each connection begins with a balancer's PROXY header, version 1 or 2; only where nobody else gets there",
    ),
  handshakeTimeout: duration({ min: '1s', max: '10m' }).default(30_000).describe('Time to log in'),
  idleTimeout: duration({ min: '0s' })
    .default(300_000)
    .describe('A connection on which nothing moves for so long is ended; 0: never'),
  keepaliveInterval: duration({ min: '1s', max: '1h' })
    .default(15_000)
    .describe('Silence after which a client is asked whether it is there; three times'),
  maxConnections: count(1, 1_000).describe('Connections that are logged in'),
  maxConnectionsPerUser: count(1, 100).describe('Of one user'),
  maxUnauthenticated: count(1, 128).describe(
    'Connections that are not logged in; more are borne for 2 s, then the oldest are dropped',
  ),
  maxChannels: count(1, 64).describe('Channels of one connection'),
  lockout: z
    .object({
      failures: count(1, 10).describe(
        'Wrong credentials from one address for one user; ten times as many for all users',
      ),
      window: duration({ min: '1s' }).default(600_000).describe('Time in which they count'),
      duration: duration({ min: '1s' }).default(300_000).describe('How long the address is refused then'),
    })
    .prefault({})
    .describe('Against guessing'),
  recordings: z
    .string()
    .default('')
    .describe('Folder for recordings of terminal sessions, asciicast version 2; empty: none are made'),
  recordingsMb: z
    .number()
    .int()
    .min(0)
    .default(10_240)
    .describe('Size of all recordings in the folder in MiB, beyond which the oldest are removed; 0: no limit'),
});

export type SshConfig = z.infer<typeof sshConfig>;
