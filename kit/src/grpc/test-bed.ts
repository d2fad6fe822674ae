import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type CallOptions,
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  type Metadata,
  makeGenericClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js';
import { silentLogger } from '../log.js';
import { Authority } from '../tls/authority.js';
import type { Identity, Role } from '../tls/identity.js';
import { type DialOptions, dial } from './dial.js';
import { type Access, GrpcHost, type GrpcHostOptions, type Handlers } from './host.js';

const text = {
  requestSerialize: (value: string): Buffer => Buffer.from(value),
  requestDeserialize: (value: Buffer): string => value.toString(),
  responseSerialize: (value: string): Buffer => Buffer.from(value),
  responseDeserialize: (value: Buffer): string => value.toString(),
};

/** One method of every kind, whose messages are plain text (never empty: grpc-js takes that for no message). */
export const EchoService = {
  ask: {
    path: '/rivera.test.Echo/Ask' as const,
    requestStream: false as const,
    responseStream: false as const,
    ...text,
  },
  listen: {
    path: '/rivera.test.Echo/Listen' as const,
    requestStream: false as const,
    responseStream: true as const,
    ...text,
  },
  tell: {
    path: '/rivera.test.Echo/Tell' as const,
    requestStream: true as const,
    responseStream: false as const,
    ...text,
  },
  talk: {
    path: '/rivera.test.Echo/Talk' as const,
    requestStream: true as const,
    responseStream: true as const,
    ...text,
  },
} as const;

type Callback = (error: ServiceError | null, response: string) => void;

export interface EchoClient extends Client {
  ask(request: string, metadata: Metadata, options: Partial<CallOptions>, callback: Callback): ClientUnaryCall;
  listen(request: string): ClientReadableStream<string>;
  tell(callback: Callback): ClientWritableStream<string>;
  talk(): ClientDuplexStream<string, string>;
}

export const EchoClient = makeGenericClientConstructor(EchoService, 'Echo') as unknown as new (
  ...of: ConstructorParameters<typeof Client>
) => EchoClient;

/** Handlers that answer with what they are told, for the methods that a test says nothing about. */
export const echo: Handlers<typeof EchoService> = {
  ask: (request) => request,
  async *listen(request) {
    yield* request;
  },
  async tell(requests) {
    let all = '';
    for await (const request of requests) all += request;
    return all;
  },
  async *talk(requests) {
    yield* requests;
  },
};

/** For tests: an authority of its own, hosts on free ports of 127.0.0.1, clients, and one close() for all of it. */
export class TestBed {
  readonly authority: Authority;
  readonly #hosts: GrpcHost[] = [];
  readonly #clients: Client[] = [];

  private constructor(authority: Authority) {
    this.authority = authority;
  }

  static async create(): Promise<TestBed> {
    const dir = await mkdtemp(join(tmpdir(), 'rivera-bed-'));
    try {
      return new TestBed(await Authority.open(dir));
    } finally {
      // The authority lives in memory from here on, so that a test that crashes leaves nothing behind.
      await rm(dir, { recursive: true, force: true });
    }
  }

  async identity(role: Role, name: string = role, validityDays = 1): Promise<Identity> {
    const issued = await this.authority.issue({ role, name, validityDays });
    return { role, name, caPem: this.authority.caPem, ...issued };
  }

  async host(options: Partial<GrpcHostOptions> = {}): Promise<GrpcHost> {
    const identity = options.identity ?? (await this.identity('server'));
    const host = new GrpcHost({ logger: silentLogger, ...options, identity });
    this.#hosts.push(host);
    return host;
  }

  /** A host with the echo service, and a client of it. */
  async echo(
    handlers: Partial<Handlers<typeof EchoService>> = {},
    options: Partial<GrpcHostOptions> & { access?: Access<typeof EchoService>; client?: DialOptions } = {},
  ): Promise<{ host: GrpcHost; port: number; client: EchoClient }> {
    const { access = { default: ['client'] }, client, ...hostOptions } = options;
    const host = await this.host(hostOptions);
    host.add(EchoService, { ...echo, ...handlers }, access);
    const { port } = await host.listen('127.0.0.1:0');
    return { host, port, client: this.dial(EchoClient, port, await this.identity('client', 'ada'), client) };
  }

  dial<C extends Client>(
    ctor: new (...of: ConstructorParameters<typeof Client>) => C,
    port: number,
    identity: Identity,
    options?: DialOptions,
  ): C {
    return this.dialAt(ctor, `127.0.0.1:${port}`, identity, options);
  }

  dialAt<C extends Client>(
    ctor: new (...of: ConstructorParameters<typeof Client>) => C,
    address: string,
    identity: Identity,
    options?: DialOptions,
  ): C {
    const client = dial(ctor, address, identity, options);
    this.#clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    await Promise.all(this.#hosts.map((host) => host.close(100)));
  }
}
