import type { SessionRequest, SessionResponse } from '@rivera/gen/rivera/bbs/v1/session_service';
import { CellSessionServiceClient } from '@rivera/gen/rivera/bbs/v1/session_service';
import { type BidiStream, bidi, dial } from '@rivera/kit/grpc/dial';
import type { Identity } from '@rivera/kit/tls/identity';
import type { CellReport } from './reports.js';

const BATCH = 500;
/** Batches that wait for their acknowledgement: enough to keep the server busy, few enough to keep memory flat. */
const WINDOW_BATCHES = 8;
const HEARTBEAT_MS = 3_000;

interface Batch {
  left: number;
  resolve(): void;
  reject(error: Error): void;
}

/** A cell that reports transitions as fast as they are taken, over a real session. */
export class LoadCell {
  private sequence = 0;
  private beating: NodeJS.Timeout | undefined;
  /** Acknowledgements come in the order of batches. */
  private readonly unacknowledged: Batch[] = [];
  private over: Error | undefined;
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
    void this.listen(responses);
    const heartbeat = { digest: '', count: 0, unanswered: 0 };
    this.beating = setInterval(
      () => void this.stream.write({ message: { $case: 'heartbeat', value: heartbeat } }),
      HEARTBEAT_MS,
    );
  }

  /** Reports, and resolves when all is durable. @throws when the BBS refuses one, or ends the session */
  async report(reports: Iterable<CellReport>): Promise<void> {
    const open: Promise<void>[] = [];
    for (const batch of inBatches(reports)) {
      if (open.length >= WINDOW_BATCHES) await open.shift();
      const acknowledged = this.send(batch);
      // It is awaited when its turn comes; until then its failure has nobody to hear it.
      acknowledged.catch(() => undefined);
      open.push(acknowledged);
    }
    for (const acknowledged of open) await acknowledged;
  }

  close(): void {
    clearInterval(this.beating);
    this.stream.cancel();
    this.client.close();
  }

  private async send(reports: readonly CellReport[]): Promise<void> {
    if (this.over !== undefined) throw this.over;
    const acknowledged = new Promise<void>((resolve, reject) => {
      this.unacknowledged.push({ left: reports.length, resolve, reject });
    });
    const transitions = reports.map((transition) => ({ sequence: ++this.sequence, transition }));
    await Promise.all([acknowledged, this.stream.write({ message: { $case: 'transitions', value: { transitions } } })]);
  }

  private async listen(responses: AsyncIterator<SessionResponse>): Promise<void> {
    try {
      for (let next = await responses.next(); !next.done; next = await responses.next()) this.hear(next.value);
      this.over = new Error(`the session of ${this.cellId} has ended`);
    } catch (error) {
      this.over = new Error(`the session of ${this.cellId} broke`, { cause: error });
    }
    for (const batch of this.unacknowledged.splice(0)) batch.reject(this.over);
  }

  private hear({ message }: SessionResponse): void {
    if (message?.$case !== 'acks') return;
    for (const { code, message: refusal } of message.value.acks) {
      const [batch] = this.unacknowledged;
      if (batch === undefined) throw new Error('acknowledged more than was reported');
      if (code !== 0) batch.reject(new Error(`refused: ${refusal}`));
      if (--batch.left > 0) continue;
      this.unacknowledged.shift();
      batch.resolve();
    }
  }
}

function* inBatches(reports: Iterable<CellReport>): Generator<CellReport[]> {
  let batch: CellReport[] = [];
  for (const report of reports) {
    batch.push(report);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
