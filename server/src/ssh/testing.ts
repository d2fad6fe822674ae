import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServiceDefinition } from '@grpc/grpc-js';
import type { ExecOutput } from '@rivera/gen/rivera/rep/v1/container';
import {
  type ExecRequest,
  type ExecResponse,
  RepServiceClient,
  RepServiceService,
} from '@rivera/gen/rivera/rep/v1/rep_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext, Handlers } from '@rivera/kit/grpc/host';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { createLogger } from '@rivera/kit/log';
import { MetricsRegistry } from '@rivera/kit/metrics';
import ssh2 from 'ssh2';
import { type Attempt, Authenticator, type AuthenticatorParts, type Login } from './authenticator.js';
import { sshConfig } from './config.js';
import { loadHostKey } from './host-key.js';
import { Lockout } from './lockout.js';
import { sshMetrics } from './metrics.js';
import { SshProxy } from './proxy.js';

export type CellHandlers = Partial<Handlers<typeof RepServiceService>>;

/** Lets everybody in, as whoever his password says he is. */
class OpenDoor extends Authenticator {
  override async authenticate({ proof }: Attempt): Promise<Login> {
    const who = proof.method === 'password' ? proof.password : 'nobody';
    const location = { cellId: 'c', address: '', target: { target: { $case: 'containerGuid', value: 'g' } } } as const;
    const target = { processGuid: 'hello', index: 0, domain: 'd', logGuid: 'l', user: 'u', env: {}, location };
    return { who, how: 'code', form: 'rivera', target };
  }
}

/** A proxy in front of a cell that the test plays behind a real gRPC port. */
export class SshBench {
  /** Lines of the record. */
  readonly audit: Record<string, unknown>[] = [];
  readonly #clients: ssh2.Client[] = [];

  private constructor(
    private readonly bed: TestBed,
    readonly proxy: SshProxy,
    readonly port: number,
    private readonly folder: string,
  ) {}

  static async start(handlers: CellHandlers, settings: object = {}): Promise<SshBench> {
    const bed = await TestBed.create();
    const host = await bed.host({ identity: await bed.identity('cell', 'c') });
    host.add(RepServiceService, { ...unimplemented(RepServiceService), ...handlers }, { default: ['server'] });
    const { port: cellPort } = await host.listen('127.0.0.1:0');
    const identity = await bed.identity('server');
    const cell = bed.dial(RepServiceClient, cellPort, identity, { expect: 'cell' });
    const folder = mkdtempSync(join(tmpdir(), 'rivera-ssh-bench-'));
    const config = sshConfig.parse(settings);
    let bench: SshBench | undefined;
    const auditLog = { info: (facts: Record<string, unknown>) => bench?.audit.push(facts) };
    const proxy = new SshProxy({
      config,
      hostKey: loadHostKey(join(folder, 'key')),
      log: createLogger({ name: 'test', level: 'silent' as never }),
      auditLog: auditLog as never,
      metrics: sshMetrics(new MetricsRegistry()),
      authenticator: new OpenDoor({
        config,
        lockout: new Lockout({ failures: 100, windowMs: 1, durationMs: 1 }, Date.now),
      } as AuthenticatorParts),
      cellOf: () => cell,
      tell: () => undefined,
    });
    bench = new SshBench(bed, proxy, await proxy.listen('127.0.0.1:0'), folder);
    return bench;
  }

  /** Somebody who is logged in. */
  async client(options: ssh2.ConnectConfig = {}): Promise<ssh2.Client> {
    const client = new ssh2.Client();
    this.#clients.push(client);
    await new Promise<void>((resolve, reject) => {
      client.once('ready', resolve).once('error', reject);
      client.connect({ host: '127.0.0.1', port: this.port, username: 'hello/0', password: 'ada', ...options });
    });
    client.on('error', () => undefined);
    return client;
  }

  /** What the record says of an event, such as `logout`. */
  told(event: string): Record<string, unknown>[] {
    return this.audit.filter(({ ssh }) => ssh === event);
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    await this.proxy.close();
    await this.bed.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

type Output = NonNullable<ExecOutput['output']>;

/** What a played cell says. */
export const say = (output: Output): ExecResponse => ({ output: { output } });
export const stdout = (bytes: Buffer): ExecResponse => say({ $case: 'stdout', value: bytes });
export const stderr = (bytes: Buffer): ExecResponse => say({ $case: 'stderr', value: bytes });
export const exit = (code: number): ExecResponse => say({ $case: 'exit', value: { code, signal: '' } });

/** Runs something in a session. */
export function execute(
  client: ssh2.Client,
  command = 'x',
  options: ssh2.ExecOptions = {},
): Promise<ssh2.ClientChannel> {
  return new Promise((resolve, reject) => {
    client.exec(command, options, (error, channel) => (error ? reject(error) : resolve(channel)));
  });
}

/** The inside of ssh2's client: what it would never do by itself has to be tried too. */
interface Inside {
  _sock: import('node:net').Socket;
  _protocol: Record<string, (...args: unknown[]) => void>;
  _chanMgr: { _count: number };
}
export const inside = (client: ssh2.Client) => client as unknown as Inside;

/** A process that lives until its stream ends, and reads nothing. */
export function deafProcess(): { exec: NonNullable<CellHandlers['exec']>; living: () => number } {
  let living = 0;
  return {
    living: () => living,
    async *exec(_requests: AsyncIterable<ExecRequest>, { signal }: CallContext) {
      living++;
      yield stdout(Buffer.from('ready\n'));
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      living--;
    },
  };
}

/** Handlers for the methods that a test says nothing about. */
function unimplemented<S extends ServiceDefinition>(service: S): Handlers<S> {
  const refuse = () => {
    throw new RiveraError('UNIMPLEMENTED', 'this test does not play that');
  };
  return Object.fromEntries(Object.keys(service).map((name) => [name, refuse])) as unknown as Handlers<S>;
}
