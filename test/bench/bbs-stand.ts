import { readFileSync } from 'node:fs';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { SessionRequest, SessionResponse, Transition } from '@rivera/gen/rivera/bbs/v1/session_service';
import { CellSessionServiceClient } from '@rivera/gen/rivera/bbs/v1/session_service';
import { Action } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import { type BidiStream, bidi, dial } from '@rivera/kit/grpc/dial';
import type { Identity } from '@rivera/kit/tls/identity';

/** The smallest LRP that a real client would desire. */
export function smallLrp(processGuid: string, instances = 1): DesiredLrp {
  return DesiredLrp.fromPartial({
    processGuid,
    domain: 'bench',
    instances,
    container: ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox', memoryMb: 1, diskMb: 1, logGuid: processGuid }),
    action: Action.fromPartial({
      action: { $case: 'runAction', value: { path: '/sim/run', args: [], user: 'root' } },
    } as never),
    ports: [8080],
  } as never);
}

/** A cell that reports transitions as fast as they are taken, over a real session. */
export class LoadCell {
  private sequence = 0;
  private acknowledged = 0;
  private refused = 0;
  private beating: NodeJS.Timeout | undefined;
  private waiter: (() => void) | undefined;
  private readonly client: CellSessionServiceClient;
  private readonly stream: BidiStream<SessionRequest, SessionResponse>;

  constructor(
    readonly cellId: string,
    address: string,
    identity: Identity,
  ) {
    this.client = dial(CellSessionServiceClient, address, identity);
    this.stream = bidi(() => this.client.session());
  }

  async open(): Promise<void> {
    const presence = {
      cellId: this.cellId,
      repAddress: '127.0.0.1:1',
      zone: 'z1',
      capacity: { memoryMb: 1_000_000, diskMb: 1_000_000, containers: 100_000 },
      rootFsProviders: [],
      placementTags: [],
      optionalPlacementTags: [],
      volumeDrivers: [],
      annotations: {},
      hostAddress: '127.0.0.1',
    };
    await this.stream.write({ message: { $case: 'hello', value: { presence, incarnation: 'bench' } } });
    const responses = this.stream.responses[Symbol.asyncIterator]();
    await responses.next();
    // Closing cancels the stream; anything else that ends it shows as acknowledgements that never come.
    this.listen(responses).catch(() => undefined);
    const heartbeat = { digest: '', count: 0 };
    this.beating = setInterval(
      () => void this.stream.write({ message: { $case: 'heartbeat', value: heartbeat } }),
      3_000,
    );
  }

  /** Reports, and resolves when all is durable. @returns how many were refused */
  async report(transitions: readonly Transition['transition'][], batch = 500): Promise<number> {
    const target = this.acknowledged + transitions.length;
    this.refused = 0;
    for (let i = 0; i < transitions.length; i += batch) {
      const part = transitions.slice(i, i + batch).map((transition) => ({ sequence: ++this.sequence, transition }));
      await this.stream.write({ message: { $case: 'transitions', value: { transitions: part } } });
    }
    while (this.acknowledged < target) {
      await new Promise<void>((resolve) => {
        this.waiter = resolve;
      });
    }
    return this.refused;
  }

  close(): void {
    clearInterval(this.beating);
    this.stream.cancel();
    this.client.close();
  }

  private async listen(responses: AsyncIterator<SessionResponse>): Promise<void> {
    for (let next = await responses.next(); !next.done; next = await responses.next()) {
      const { message } = next.value;
      if (message?.$case !== 'acks') continue;
      this.acknowledged += message.value.acks.length;
      for (const ack of message.value.acks) if (ack.code !== 0) this.refused++;
      this.waiter?.();
    }
  }
}

export function claimed(processGuid: string): Transition['transition'] {
  return {
    $case: 'lrpClaimed',
    value: { key: keyOf(processGuid), instanceGuid: `i-${processGuid}`, includeDefinition: false },
  };
}

export function running(processGuid: string): Transition['transition'] {
  return {
    $case: 'lrpRunning',
    value: {
      key: keyOf(processGuid),
      instanceGuid: `i-${processGuid}`,
      netInfo: {
        address: '10.0.0.1',
        ports: [{ containerPort: 8080, hostPort: 61_001, containerTlsProxyPort: 0, hostTlsProxyPort: 0 }],
        instanceAddress: '10.254.0.2',
        preferredAddress: 0,
        instanceIpv6Address: '',
      },
      internalRoutes: [],
      metricTags: {},
      routable: true,
    },
  };
}

/** Resident memory of a process, in MiB. */
export function rssMb(pid: number): number {
  const kb = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kb ?? Number.NaN) / 1024;
}

/** CPU that a process has used, in seconds. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function keyOf(processGuid: string) {
  return { processGuid, index: 0, domain: 'bench' };
}
