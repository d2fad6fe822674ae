import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  SessionRequest,
  SessionResponse,
  Transition,
  TransitionAck,
} from '@rivera/gen/rivera/bbs/v1/session_service';
import { type CellHello, CellSessionServiceClient } from '@rivera/gen/rivera/bbs/v1/session_service';
import { systemClock } from '@rivera/kit/clock';
import { type BidiStream, bidi, dial } from '@rivera/kit/grpc/dial';
import { GrpcHost } from '@rivera/kit/grpc/host';
import { silentLogger } from '@rivera/kit/log';
import { Authority } from '@rivera/kit/tls/authority';
import type { Identity, Role } from '@rivera/kit/tls/identity';
import { connect, type RiveraClient } from '@rivera/sdk/client';
import { processIdentity } from '../database/process-identity.js';
import { BbsRole } from './bbs-role.js';
import { bbsConfig } from './config.js';
import { presence } from './core/testing.js';
import type { Journal } from './journal/journal.js';
import { MemoryDatabase, MemoryJournal } from './journal/memory-journal.js';

/** A BBS behind its real gRPC port, for tests: it leads at once, on a journal in memory unless one is given. */
export class BbsBench {
  private readonly closers: (() => Promise<void> | void)[] = [];

  private constructor(
    readonly address: string,
    readonly role: BbsRole,
    readonly database: MemoryDatabase,
    private readonly authority: Authority,
  ) {}

  static async start(options: { journal?: Journal; config?: object } = {}): Promise<BbsBench> {
    const authority = await makeAuthority();
    const identity = await issue(authority, { role: 'server', name: 'server' });
    const host = new GrpcHost({ identity, logger: silentLogger, maxMessageBytes: 16 * 1024 * 1024 });
    const database = new MemoryDatabase();
    let win: (lease: { epoch: number }) => void = () => {};
    const role = new BbsRole({
      config: bbsConfig.parse(options.config ?? {}),
      journal: options.journal ?? new MemoryJournal(database),
      host,
      clock: systemClock,
      log: silentLogger,
      candidate: {
        onAcquired: (listener) => {
          win = listener;
        },
        onLost: () => {},
        onLeaderEnds: () => {},
        announceEnd: () => {},
        holderAddress: () => undefined,
        resign: () => {},
        epoch: 1,
      },
    });
    const { port } = await host.listen('127.0.0.1:0');
    win({ epoch: 1 });
    while (!role.leading) await new Promise((resolve) => setTimeout(resolve, 2));
    const bench = new BbsBench(`127.0.0.1:${port}`, role, database, authority);
    bench.closers.push(
      () => role.close(),
      () => host.close(100),
    );
    return bench;
  }

  identity(role: Role, name: string): Promise<Identity> {
    return issue(this.authority, { role, name });
  }

  async client(role: Role = 'client'): Promise<RiveraClient> {
    const { caPem: ca, certPem: cert, keyPem: key } = await this.identity(role, `a-${role}`);
    const client = connect({ servers: [this.address], tls: { ca, cert, key } });
    this.closers.unshift(() => client.close());
    return client;
  }

  /** Opens the session of a cell that says what the test wants. */
  async cell(cellId: string, hello: Partial<CellHello> = {}): Promise<ScriptedCell> {
    const client = dial(CellSessionServiceClient, this.address, await this.identity('cell', cellId));
    const cell = new ScriptedCell(
      cellId,
      bidi(() => client.session()),
    );
    this.closers.unshift(() => {
      cell.hangUp();
      client.close();
    });
    await cell.say({ $case: 'hello', value: { presence: presence(cellId), incarnation: 'i1', ...hello } });
    return cell;
  }

  async close(): Promise<void> {
    for (const close of this.closers) await close();
  }
}

const FOLDER_PREFIX = 'rivera-bbs-';

/** It lives in memory once it is made. The folder it is made in is gone by then; a later run sweeps one whose process died before. */
async function makeAuthority(): Promise<Authority> {
  for (const name of await readdir(tmpdir())) {
    const maker = new RegExp(`^${FOLDER_PREFIX}(\\d+)-`).exec(name)?.[1];
    if (maker === undefined || processIdentity(Number(maker)) !== undefined) continue;
    await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
  const folder = await mkdtemp(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
  try {
    return await Authority.open(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function issue(authority: Authority, of: { role: Role; name: string }): Promise<Identity> {
  return { ...of, caPem: authority.caPem, ...(await authority.issue(of)) };
}

/** A cell of which the test plays the part. */
export class ScriptedCell {
  private sequence = 0;
  private readonly incoming: AsyncIterator<SessionResponse>;

  constructor(
    readonly cellId: string,
    private readonly stream: BidiStream<SessionRequest, SessionResponse>,
  ) {
    this.incoming = stream.responses[Symbol.asyncIterator]();
  }

  say(message: SessionRequest['message']): Promise<void> {
    return this.stream.write({ message });
  }

  /** The next thing the BBS says; throws what the stream ends with. */
  async hears(): Promise<SessionResponse['message']> {
    const next = await this.incoming.next();
    if (next.done) throw new Error('the session has ended');
    return next.value.message;
  }

  /** Says what happened and returns how the BBS took it. */
  async reports(...transitions: Transition['transition'][]): Promise<TransitionAck[]> {
    const batch = transitions.map((transition) => ({ sequence: ++this.sequence, transition }));
    await this.say({ $case: 'transitions', value: { transitions: batch } });
    for (;;) {
      const message = await this.hears();
      if (message?.$case === 'acks') return message.value.acks;
    }
  }

  hangUp(): void {
    this.stream.cancel();
  }
}
