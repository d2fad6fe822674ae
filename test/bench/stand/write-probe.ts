import { setTimeout as sleep } from 'node:timers/promises';
import { DomainServiceClient } from '@rivera/gen/rivera/bbs/v1/domain_service';
import { RiveraError } from '@rivera/kit/errors';
import { dial, unary } from '@rivera/kit/grpc/dial';
import type { Identity } from '@rivera/kit/tls/identity';

const PAUSE_MS = 10;
/** Long enough for a server that is about to answer, which must not be asked anew meanwhile. */
const DEADLINE_MS = 30_000;

/** Asks one server for a small durable write. */
export class WriteProbe {
  private readonly client: DomainServiceClient;

  constructor(address: string, identity: Identity) {
    this.client = dial(DomainServiceClient, address, identity);
  }

  /** Whether the server takes a write now; false: it stands by, or is not there. */
  async writes(): Promise<boolean> {
    return (await this.refusal()) === undefined;
  }

  /** Whether it is there and says that it does not lead. */
  async standsBy(): Promise<boolean> {
    return (await this.refusal())?.reason === 'NOT_LEADER';
  }

  /** Asks until a write is acknowledged. @throws after `patienceMs` */
  async untilWritten(patienceMs: number): Promise<void> {
    const deadline = performance.now() + patienceMs;
    while (!(await this.writes())) {
      if (performance.now() > deadline) throw new Error(`no write was taken in ${patienceMs} ms`);
      await sleep(PAUSE_MS);
    }
  }

  /** Asks until a write is refused. @returns when the last one was acknowledged, by `performance.now()` */
  async untilRefused(): Promise<number> {
    let lastTakenMs = performance.now();
    while (await this.writes()) {
      lastTakenMs = performance.now();
      await sleep(PAUSE_MS);
    }
    return lastTakenMs;
  }

  close(): void {
    this.client.close();
  }

  /** Asks once; undefined: the write is durable. */
  private async refusal(): Promise<RiveraError | undefined> {
    const request = { domain: 'probe', ttl: undefined };
    try {
      await unary(this.client, this.client.upsertDomain, request, { deadlineMs: DEADLINE_MS });
      return undefined;
    } catch (error) {
      if (error instanceof RiveraError) return error;
      throw error;
    }
  }
}
