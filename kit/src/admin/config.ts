import { z } from 'zod';

/** Settings of the port for those who operate a program. */
export const adminConfig = z.object({
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe('Address of the admin port; it asks nobody who they are, so keep it from strangers'),
  port: z
    .number()
    .int()
    .min(0)
    .max(65_535)
    .nullish()
    .describe(
      'Port of /metrics, /healthz, /readyz and /debug/state, plain HTTP; empty: none of them; 0: any free port',
    ),
  remoteState: z
    .boolean()
    .default(false)
    .describe('Whether /debug/state is also for others than this machine; it holds no secrets, but names'),
});

export type AdminConfig = z.infer<typeof adminConfig>;

/** Settings of the record of who changed what. */
export const auditConfig = z.object({
  enabled: z.boolean().default(true).describe('Whether a line is written for every call that may change something'),
  file: z
    .string()
    .default('')
    .describe('File that the lines are appended to; empty: with the log, marked "audit": true'),
});

export type AuditConfig = z.infer<typeof auditConfig>;
