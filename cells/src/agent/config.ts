import { adminConfig, auditConfig } from '@rivera/kit/admin/config';
import { duration, size } from '@rivera/kit/config';
import { z } from 'zod';
import { executorConfig } from '../executor/config.js';
import { parseRange } from '../garden/addresses.js';
import { IDS_PER_CONTAINER } from '../garden/oci/id-ranges.js';
import { parseHostService } from '../garden/oci/network/host-service.js';
import { DEFAULT_USER_NAMESPACES } from '../garden/oci/options.js';

/** What follows from keys of the cell is not said a second time. */
const {
  memoryMb: _memory,
  diskMb: _disk,
  maxContainers: _containers,
  allowPrivileged: _privileged,
  ...executorShape
} = executorConfig.shape;

/** The largest user id of Linux. */
const MAX_HOST_ID = 4_294_967_294;

/** Coerced, as an environment variable is text and this key may hold text as well. */
const amount = z.union([z.literal('auto'), z.coerce.number<number | string>().int().positive()]);

/** Configuration of a cell agent; defaults are the reference's where there are such (spec cell §14, §17-§29; docs/reference.md). */
export const cellConfig = z.object({
  cellId: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1..64 of A-Z a-z 0-9 _ -')
    .describe('Unique name of this cell; equals the common name of its certificate'),
  cellIndex: z.number().int().min(0).default(0).describe('Ordinal of this cell, for bin packing'),
  zone: z.string().default('z1').describe('Fault domain; instances of one LRP are spread over zones'),
  servers: z.array(z.string()).min(1).describe('host:port of the servers; the cell finds the active one among them'),
  auctioneers: z
    .array(z.string())
    .default([])
    .describe('host:port of the auctioneers, where they run apart from the BBS; empty: the servers'),
  listen: z.string().default('0.0.0.0:1801').describe('host:port that the cell serves exec, files and logs on'),
  advertise: z
    .string()
    .default('')
    .describe('host:port that servers reach this cell at; empty: hostAddress with the port that is listened on'),
  dataDir: z.string().min(1).describe('Folder of containers, images and records; one agent at a time'),
  backend: z.enum(['oci', 'sim']).default('oci').describe('oci: real containers; sim: pretended ones, for tests'),
  rootFsDir: z
    .string()
    .default('')
    .describe('Folder whose folders are the root filesystems on offer, as "preloaded:NAME"; empty: rootfs in dataDir'),
  runtime: z
    .string()
    .regex(/^(\/\S+|[A-Za-z0-9._-]+)$/, 'must be auto, the name of a program or its path')
    .default('auto')
    .describe(
      'OCI runtime, by name or path; auto: crun where it works, else runc. Containers that are there keep the one they were made with',
    ),
  subnet: z.string().default('10.213.0.0/24').describe('Network of the containers; unique per cell on one machine'),
  bridge: z
    .string()
    .min(1)
    .max(15)
    .default('rivera0')
    .describe("Name of the bridge that holds the gateway's address; unique per cell on one machine"),
  subnet6: z
    .string()
    .refine((text) => text === 'auto' || text === 'none' || (text.includes(':') && parseRange(text)), {
      message: 'must be auto, none or an IPv6 network such as fd00:1:2:3::/64',
    })
    .default('auto')
    .describe('IPv6 network of the containers; auto: one of the cell’s own where the host has IPv6; none: no IPv6'),
  denyNetworks: z
    .array(z.string().refine((text) => parseRange(text), 'must be an address, a CIDR block or a range FIRST-LAST'))
    .default([])
    .describe('Networks that containers reach only by an egress rule, e.g. 0.0.0.0/0 and ::/0'),
  hostServices: z
    .array(z.string().refine(parseHostService, 'must be tcp/PORT, udp/FIRST-LAST or all'))
    .default([])
    .describe('What containers may reach of this machine itself: tcp/PORT, udp/FIRST-LAST or all'),
  hostAddress: z.string().default('127.0.0.1').describe("Address that instances' host ports are reached at"),
  portRange: z
    .object({
      first: z.number().int().min(1024).max(65_535).default(61_001).describe('First host port for instances'),
      last: z.number().int().min(1024).max(65_535).default(65_534).describe('Last host port for instances'),
    })
    .prefault({})
    .refine(({ first, last }) => first <= last, 'first must not be above last')
    .describe('Host ports for instances'),
  imageCache: size({ min: 1 })
    .default(10_000_000_000)
    .describe('Bytes of unpacked image layers that are kept; more only while containers use them'),
  insecureRegistries: z
    .array(z.string())
    .default([])
    .describe("HOST or HOST:PORT of image registries without TLS, besides this machine's own"),
  memoryMb: amount.default('auto').describe('Memory on offer in MiB; larger than the machine has means overcommitment'),
  diskMb: amount.default('auto').describe('Disk on offer in MiB'),
  containers: amount.default('auto').describe('Most containers at a time; auto: what the subnet has addresses for'),
  placementTags: z.array(z.string()).default([]).describe('Isolation tags that work must ask for'),
  optionalPlacementTags: z.array(z.string()).default([]).describe('Isolation tags that work may ask for'),
  allowPrivileged: z.boolean().default(false).describe('Whether containers may ask for more capabilities'),
  userNamespaces: z
    .object({
      enabled: z
        .boolean()
        .default(DEFAULT_USER_NAMESPACES.enabled)
        .describe('Whether root of a container is a host id without rights; privileged containers never have one'),
      firstId: z
        .number()
        .int()
        .min(65_536)
        .max(MAX_HOST_ID)
        .default(DEFAULT_USER_NAMESPACES.firstId)
        .describe('First host id that containers may have; nothing else on the machine may use what follows'),
      ranges: z
        .number()
        .int()
        .min(1)
        .max(65_535)
        .default(DEFAULT_USER_NAMESPACES.ranges)
        .describe('How many ranges of 65,536 ids there are, one for each container; cells of a machine share them'),
    })
    .prefault({})
    .refine(({ firstId, ranges }) => firstId + ranges * IDS_PER_CONTAINER - 1 <= MAX_HOST_ID, {
      message: `firstId with ranges times ${IDS_PER_CONTAINER} ids goes beyond ${MAX_HOST_ID}`,
      path: ['ranges'],
    })
    .describe("Containers' own user ids"),
  localVolumes: z
    .boolean()
    .default(true)
    .describe(
      'Whether the volume driver "local" is on offer: directories below the data folder, limited where a definition names a size',
    ),
  maxPids: z
    .number()
    .int()
    .min(0)
    .default(16_384)
    .describe('Processes and threads of a container that asks for no limit of its own; 0: no limit'),
  maxExecs: z
    .number()
    .int()
    .min(1)
    .max(10_000)
    .default(64)
    .describe("People's processes and transfers of files that a container may have at a time"),
  streamIdleTimeout: duration({ min: '1s', max: '24h' })
    .default(60_000)
    .describe('Time without a byte after which a transfer of files into or out of a container has failed'),
  tls: z
    .object({
      ca: z.string().min(1).describe('Certificate authority, PEM file'),
      cert: z.string().min(1).describe("The cell's certificate, PEM file"),
      key: z.string().min(1).describe("The cell's key, PEM file"),
    })
    .describe('Identity of this cell'),
  drainOnExit: z
    .boolean()
    .default(false)
    .describe('When told to end, first wait until the servers have replaced everything here elsewhere'),
  drainTimeout: duration({ min: '1s', max: '24h' })
    .default(600_000)
    .describe('How long an ending agent waits for that; what is left then is dealt with as stopContainersOnExit says'),
  stopContainersOnExit: z
    .boolean()
    .default(false)
    .describe('Stop all containers when the agent ends; otherwise they outlive it and are adopted at the next start'),
  stopTimeout: duration({ min: '1s', max: '1h' })
    .default(30_000)
    .describe('How long an ending agent waits for its containers to stop and the BBS to know'),
  runtimeCheck: z
    .object({
      enabled: z.boolean().default(true).describe('Whether a container is made now and then to see whether it works'),
      interval: duration({ min: '1s', max: '24h' }).default(600_000).describe('From the end of one check to the next'),
      timeout: duration({ min: '1s', max: '24h' }).default(600_000).describe('Time after which a check has failed'),
      command: z
        .array(z.string())
        .min(1)
        .default(['/bin/sh', '-c', 'ls / >/dev/null'])
        .describe('Program and arguments that run in it, as root'),
    })
    .prefault({})
    .describe(
      'Looks whether the runtime still works; while it does not, this cell refuses work. Only with backend oci',
    ),
  garden: z
    .object({
      listen: z
        .string()
        .default('')
        .describe(
          'host:port, or unix:/PATH, that rivera.garden.v1 is served on, for certificates of role garden; empty: nowhere',
        ),
    })
    .prefault({})
    .describe('Containers for other programs than Rivera'),
  executor: z
    .object(executorShape)
    .prefault({})
    .refine(({ postSetupHook, postSetupUser }) => postSetupHook.length === 0 || postSetupUser !== '', {
      message: 'postSetupHook needs postSetupUser',
      path: ['postSetupUser'],
    })
    .describe('How containers are run'),
  log: z
    .object({
      level: z
        .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
        .default('info')
        .describe('Least level'),
      pretty: z.boolean().default(false).describe('For people instead of programs'),
    })
    .prefault({})
    .describe('Log of the agent itself'),
  audit: auditConfig.prefault({}).describe('The record of who did what in containers'),
  admin: adminConfig.prefault({}).describe('Metrics, health and state for those who operate this cell'),
});

export type CellConfig = z.infer<typeof cellConfig>;
