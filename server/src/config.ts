import { adminConfig, auditConfig } from '@rivera/kit/admin/config';
import { z } from 'zod';
import { auctionConfig } from './auction/config.js';
import { bbsConfig } from './bbs/config.js';
import { encryptionConfig } from './database/encryption-config.js';
import { sshConfig } from './ssh/config.js';

const ROLES = ['bbs', 'auction', 'access', 'locket', 'ssh'] as const;
/** SSH needs a host key, so it is asked for by name. */
const USUAL_ROLES = ['bbs', 'auction', 'access', 'locket'] as const;

/** Configuration of a server. */
export const serverConfig = z.object({
  name: z
    .string()
    .min(1)
    .max(200)
    .default('server')
    .describe('Name of this server in leases and logs; need not be unique'),
  listen: z.string().default('0.0.0.0:8889').describe('host:port of all gRPC services'),
  advertise: z
    .string()
    .default('')
    .describe(
      'host:port that clients, cells and other servers reach this server at; empty: as listen, with the port in use',
    ),
  servers: z
    .array(z.string())
    .default([])
    .describe('host:port of all servers, for the roles here that need the active BBS; empty: this one'),
  roles: z
    .array(z.enum(ROLES))
    .min(1)
    .default([...USUAL_ROLES])
    .describe('What this server does: bbs, auction, access, locket, ssh'),
  database: z
    .object({
      url: z
        .string()
        .regex(/^mysql:\/\//, 'must be a URL mysql://USER:PASSWORD@HOST:PORT/DATABASE')
        .describe(
          'MySQL or MariaDB: mysql://USER:PASSWORD@HOST:PORT/DATABASE; a unix socket as ?socketPath=PATH; ?multipleStatements=off for a proxy that takes one at a time; the nodes of a cluster as HOST:PORT,HOST:PORT',
        ),
    })
    .describe('Where the state is kept'),
  encryption: encryptionConfig.prefault({}).describe('Encryption of what is kept in the database'),
  tls: z
    .object({
      ca: z.string().min(1).describe('Certificate authority, PEM file'),
      cert: z.string().min(1).describe("The server's certificate, PEM file"),
      key: z.string().min(1).describe("The server's key, PEM file"),
    })
    .describe('Identity of this server'),
  bbs: bbsConfig.prefault({}).describe('The BBS'),
  auction: auctionConfig.prefault({}).describe('The auction'),
  ssh: sshConfig.prefault({}).describe('The SSH proxy'),
  log: z
    .object({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('Least level that is written'),
      pretty: z.boolean().default(false).describe('For people instead of JSON lines'),
    })
    .prefault({})
    .describe('Logging'),
  audit: auditConfig.prefault({}).describe('The record of who changed what'),
  admin: adminConfig.prefault({}).describe('Metrics, health and state for those who operate this server'),
});

export type ServerConfig = z.infer<typeof serverConfig>;
