import { type AddressInfo, connect as connectSocket, createServer, type Server, type Socket } from 'node:net';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { AccessServiceClient, AccessServiceService } from '@rivera/gen/rivera/access/v1/access_service';
import { ActualLrp, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { ActualLrpServiceService } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { Cell, CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { CellServiceService } from '@rivera/gen/rivera/bbs/v1/cell_service';
import { Task } from '@rivera/gen/rivera/bbs/v1/task';
import { TaskServiceService } from '@rivera/gen/rivera/bbs/v1/task_service';
import { RepServiceService } from '@rivera/gen/rivera/rep/v1/rep_service';
import { RiveraError } from '@rivera/kit/errors';
import type { GrpcHost, Handlers } from '@rivera/kit/grpc/host';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { connect, type RiveraClient } from '@rivera/sdk/client';
import { accessService } from './access-service.js';
import { CellClients } from './cell-clients.js';
import { Directory } from './directory.js';
import type { LogLimits } from './logs/limits.js';
import { LogReader } from './logs.js';

type CellHandlers = Handlers<typeof RepServiceService>;

/** Access between a client, a BBS and cells that the test plays, all of them behind real gRPC ports. */
export class AccessBench {
  /** What the BBS knows. */
  readonly cells = new Map<string, { address: string; state: CellState }>();
  readonly tasks = new Map<string, string>();
  readonly instances: { processGuid: string; index: number; instanceGuid: string; cellId: string }[] = [];
  /** When set, the BBS answers with this. */
  bbsFails: RiveraError | undefined;
  private readonly cables: Cable[] = [];

  private constructor(
    readonly bed: TestBed,
    private readonly sdk: RiveraClient,
    readonly clients: CellClients,
    readonly directory: Directory,
    readonly host: GrpcHost,
    private readonly port: number,
  ) {}

  static async start(limits: Partial<LogLimits> = {}): Promise<AccessBench> {
    const bed = await TestBed.create();
    const identity = await bed.identity('server');
    const bbs = await bed.host({ identity });
    let bench: AccessBench | undefined;
    const known = () => {
      if (bench?.bbsFails) throw bench.bbsFails;
      return bench as AccessBench;
    };
    const access = { default: ['server'] } as const;
    bbs.add(
      ActualLrpServiceService,
      {
        ...unimplemented(ActualLrpServiceService),
        getActualLrp: ({ processGuid, index }) => {
          const rows = known().instances.filter((row) => row.processGuid === processGuid && row.index === index);
          if (rows.length === 0) throw new RiveraError('ACTUAL_LRP_NOT_FOUND', 'no such slot');
          const actualLrps = rows.map(({ instanceGuid, cellId }) =>
            ActualLrp.fromPartial({ instanceGuid, cellId, state: ActualLrpState.RUNNING }),
          );
          return { actualLrps };
        },
      },
      access,
    );
    bbs.add(
      TaskServiceService,
      {
        ...unimplemented(TaskServiceService),
        getTask: ({ taskGuid }) => {
          const cellId = known().tasks.get(taskGuid);
          if (cellId === undefined) throw new RiveraError('TASK_NOT_FOUND', `no task "${taskGuid}"`);
          return { task: Task.fromPartial({ taskGuid, cellId }) };
        },
      },
      access,
    );
    const cellOf = (cellId: string, { address, state }: { address: string; state: CellState }) =>
      Cell.fromPartial({ presence: { cellId, repAddress: address }, state });
    bbs.add(
      CellServiceService,
      {
        ...unimplemented(CellServiceService),
        getCell: ({ cellId }) => {
          const cell = known().cells.get(cellId);
          if (cell === undefined) throw new RiveraError('CELL_NOT_FOUND', `no cell "${cellId}"`);
          return { cell: cellOf(cellId, cell) };
        },
        listCells: () => ({
          cells: [...known().cells].map(([cellId, cell]) => cellOf(cellId, cell)),
          nextPageToken: '',
          revision: 1,
        }),
      },
      access,
    );
    const { port: bbsPort } = await bbs.listen('127.0.0.1:0');
    const { caPem: ca, certPem: cert, keyPem: key } = identity;
    const sdk = connect({ servers: [`127.0.0.1:${bbsPort}`], tls: { ca, cert, key } });
    const directory = new Directory(sdk);
    const clients = new CellClients(identity);
    const host = await bed.host({ identity });
    const logs = new LogReader(directory, clients, { limits });
    host.add(AccessServiceService, accessService(directory, clients, logs), { default: ['client'] });
    const { port } = await host.listen('127.0.0.1:0');
    bench = new AccessBench(bed, sdk, clients, directory, host, port);
    return bench;
  }

  /** A client of its own connection. */
  async client(): Promise<AccessServiceClient> {
    return this.bed.dial(AccessServiceClient, this.port, await this.bed.identity('client', 'ada'));
  }

  /** A client whose connection the test can cut. */
  async distantClient(): Promise<{ client: AccessServiceClient; cable: Cable }> {
    const cable = await Cable.to(this.port);
    this.cables.push(cable);
    const identity = await this.bed.identity('client', 'bob');
    return { client: this.bed.dial(AccessServiceClient, cable.port, identity), cable };
  }

  /** A cell that answers as the test says, and that the BBS knows; one container of it is task "t-CELL". */
  async cell(cellId: string, handlers: Partial<CellHandlers>): Promise<PlayedCell> {
    const host = await this.bed.host({ identity: await this.bed.identity('cell', cellId) });
    host.add(RepServiceService, { ...unimplemented(RepServiceService), ...handlers }, { default: ['server'] });
    const { port } = await host.listen('127.0.0.1:0');
    const cable = await Cable.to(port);
    this.cables.push(cable);
    this.cells.set(cellId, { address: `127.0.0.1:${cable.port}`, state: CellState.PRESENT });
    this.tasks.set(`t-${cellId}`, cellId);
    return { cable, host };
  }

  async close(): Promise<void> {
    this.sdk.close();
    this.clients.close();
    await this.bed.close();
    for (const cable of this.cables) cable.cut();
  }
}

export interface PlayedCell {
  /** Between the server and the cell: cut it, and for the server the cell has died. */
  readonly cable: Cable;
  readonly host: GrpcHost;
}

/** A connection that can be cut. */
export class Cable {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  private constructor(target: number) {
    this.server = createServer((near) => {
      const far = connectSocket(target, '127.0.0.1');
      for (const socket of [near, far]) {
        this.sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => this.sockets.delete(socket));
      }
      near.pipe(far).pipe(near);
    });
  }

  static async to(port: number): Promise<Cable> {
    const cable = new Cable(port);
    await new Promise<void>((resolve) => cable.server.listen(0, '127.0.0.1', resolve));
    return cable;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** For good, as when the machine's kernel cleans up after a process: with the end of the stream, or a reset. */
  cut(how: 'end' | 'reset' = 'end'): void {
    this.server.close();
    this.break(how);
  }

  /** Once; who comes again is let through. */
  break(how: 'end' | 'reset' = 'end'): void {
    for (const socket of this.sockets) {
      if (how === 'reset') socket.resetAndDestroy();
      else socket.destroy();
    }
  }
}

/** Something that happens once, for a test to wait for. */
export class Happening<T = void> {
  readonly promise: Promise<T>;
  has = false;
  happens: (value: T) => void = () => undefined;

  constructor() {
    this.promise = new Promise((resolve) => {
      this.happens = (value) => {
        this.has = true;
        resolve(value);
      };
    });
  }
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Waits until a number stays the same for a while: what could still move it has had its time. */
export async function settled(read: () => number): Promise<void> {
  for (let last = -1, same = 0; same < 5; ) {
    same = read() === last ? same + 1 : 0;
    last = read();
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
}

/** Handlers for the methods that a test says nothing about. */
function unimplemented<S extends ServiceDefinition>(service: S): Handlers<S> {
  const refuse = () => {
    throw new RiveraError('UNIMPLEMENTED', 'this test does not play that');
  };
  return Object.fromEntries(Object.keys(service).map((name) => [name, refuse])) as unknown as Handlers<S>;
}
