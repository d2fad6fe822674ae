import { X509Certificate } from 'node:crypto';
import type { InstanceIssuer } from '@rivera/kit/tls/instance-issuer';
import { CANCELLED, failed, type Step, type StepContext, type StepResult, type StepRun } from '../steps/step.js';
import type { CredentialFiles } from './credential-files.js';

/** Whose certificate is kept, and by what means. */
export interface CredentialOptions {
  guid: string;
  organizationalUnits: readonly string[];
  addresses: readonly string[];
  files: CredentialFiles;
  issuer: InstanceIssuer;
  validityMs: number;
  /** Told of each attempt. */
  report(attempt: { ok: boolean; ms: number }): void;
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** The longest that is slept at once, as timers hold no more than 24 days. */
const LONGEST_PAUSE_MS = 24 * HOUR_MS;

/** When a certificate is replaced (spec cell §33): half an hour before its end, a short-lived one when an eighth is left. */
export function rotationDueMs({ endMs, validityMs }: { endMs: number; validityMs: number }): number {
  return endMs - (validityMs > 4 * HOUR_MS ? 30 * MINUTE_MS : validityMs / 8);
}

/**
 * Keeps a container's certificate: ready once there is one, replaced before it ends, for as long as it is told to. A replacement
 * that fails is tried again every minute; only a certificate that has really run out ends the container.
 */
export class CredentialStep implements Step {
  constructor(
    private readonly options: CredentialOptions,
    private readonly context: Pick<StepContext, 'lifetime' | 'clock'>,
  ) {}

  async run({ signal, ready }: StepRun): Promise<StepResult> {
    const { clock, lifetime } = this.context;
    if (signal.aborted) return CANCELLED;
    let endMs = await lifetime.alive(this.#usableUntil());
    for (;;) {
      const { validityMs } = this.options;
      if (clock.now() >= rotationDueMs({ endMs, validityMs })) {
        try {
          endMs = await lifetime.alive(lifetime.track(this.#replace()));
        } catch (error) {
          const text = `cred-manager-runner exited: ${error instanceof Error ? error.message : String(error)}`;
          if (clock.now() >= endMs) return failed(text);
        }
      }
      ready();
      const dueMs = rotationDueMs({ endMs, validityMs });
      const pauseMs = Math.max(dueMs - clock.now(), Math.min(MINUTE_MS, Math.max(1, endMs - clock.now())));
      if (!(await lifetime.pause(Math.min(pauseMs, LONGEST_PAUSE_MS), signal))) return CANCELLED;
    }
  }

  /** The end of a certificate of an earlier life of the agent; 0 when there is none, or the authority is another one now. */
  async #usableUntil(): Promise<number> {
    const { files, issuer } = this.options;
    const certificate = await files.certificate();
    if (!certificate?.verify(new X509Certificate(issuer.caPem).publicKey)) return 0;
    return Date.parse(certificate.validTo);
  }

  async #replace(): Promise<number> {
    const { guid, organizationalUnits, addresses, files, issuer, validityMs, report } = this.options;
    const beganMs = performance.now();
    let ok = false;
    try {
      const nowMs = this.context.clock.now();
      const issued = await issuer.issue({ guid, organizationalUnits, addresses, nowMs, validityMs });
      await files.replace(issued);
      ok = true;
      return Date.parse(new X509Certificate(issued.chainPem).validTo);
    } finally {
      report({ ok, ms: performance.now() - beganMs });
    }
  }
}
