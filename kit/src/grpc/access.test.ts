import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Identity, Role } from '../tls/identity.js';
import { bidi, serverStream, unary } from './dial.js';
import { EchoClient, EchoService, TestBed } from './test-bed.js';

let bed: TestBed;
let stranger: TestBed;
let port: number;

beforeAll(async () => {
  bed = await TestBed.create();
  stranger = await TestBed.create();
  ({ port } = await bed.echo(
    {},
    { access: { default: ['client', 'reader'], methods: { ask: ['client'], talk: ['cell'] } } },
  ));
});
afterAll(() => Promise.all([bed.close(), stranger.close()]));

const clientOf = async (role: Role) => bed.dial(EchoClient, port, await bed.identity(role));

test('a method is for the roles it names, and else for those of its service', async () => {
  const client = await clientOf('client');
  expect(await unary(client, client.ask, 'hi')).toBe('hi');
  const reader = await clientOf('reader');
  expect((await serverStream(() => reader.listen('hi')).next()).value).toBe('h');
});

test('another role is refused, and told who may', async () => {
  const reader = await clientOf('reader');
  await expect(unary(reader, reader.ask, 'hi')).rejects.toMatchObject({
    reason: 'PERMISSION_DENIED',
    message: 'role reader may not call /rivera.test.Echo/Ask; it is for client',
    metadata: { method: '/rivera.test.Echo/Ask', role: 'reader', allowed_roles: 'client' },
  });
});

test('streams are refused as calls are', async () => {
  const client = await clientOf('client');
  await expect(
    bidi(() => client.talk())
      .responses[Symbol.asyncIterator]()
      .next(),
  ).rejects.toMatchObject({
    reason: 'PERMISSION_DENIED',
  });
  const cell = await clientOf('cell');
  await expect(serverStream(() => cell.listen('hi')).next()).rejects.toMatchObject({ reason: 'PERMISSION_DENIED' });
});

test('a certificate without a role is nobody', async () => {
  const identity = await bed.identity('visitor' as Role);
  const client = bed.dial(EchoClient, port, identity);
  await expect(unary(client, client.ask, 'hi')).rejects.toMatchObject({ reason: 'UNAUTHENTICATED' });
});

test('a name can not smuggle in a role', async () => {
  const client = bed.dial(EchoClient, port, await bed.identity('reader', 'x,OU=client'));
  await expect(unary(client, client.ask, 'hi')).rejects.toMatchObject({ metadata: { role: 'reader' } });
});

async function refused(identity: Identity): Promise<void> {
  const client = bed.dial(EchoClient, port, identity);
  await expect(unary(client, client.ask, 'hi', { deadlineMs: 3000 })).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
}

test('a certificate of another authority gets no connection', async () => {
  const other = await stranger.identity('client');
  await refused({ ...other, caPem: bed.authority.caPem });
});

test('a certificate that has run out gets no connection', async () => {
  await refused(await bed.identity('client', 'old', -1));
});

test('a client that presents no certificate gets no connection', async () => {
  const { credentials } = await import('@grpc/grpc-js');
  const client = new EchoClient(`127.0.0.1:${port}`, credentials.createSsl(Buffer.from(bed.authority.caPem)), {
    'grpc.ssl_target_name_override': 'rivera-server',
  });
  await expect(unary(client, client.ask, 'hi', { deadlineMs: 3000 })).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
  client.close();
});

test('a server of another authority is not talked to', async () => {
  const impostor = await stranger.echo();
  const client = bed.dial(EchoClient, impostor.port, await bed.identity('client'));
  await expect(unary(client, client.ask, 'hi', { deadlineMs: 3000 })).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
});

test('a server must have the role, and the name, that the client expects', async () => {
  const cell = await bed.host({ identity: await bed.identity('cell', 'cell-1') });
  cell.add(
    EchoService,
    { ask: () => 'a cell', async *listen() {}, tell: async () => 'ok', async *talk() {} },
    { default: ['client'] },
  );
  const address = await cell.listen('127.0.0.1:0');
  const client = await bed.identity('client');
  const asked = (options: Parameters<typeof bed.dial>[3]) => {
    const to = bed.dial(EchoClient, address.port, client, options);
    return unary(to, to.ask, 'hi', { deadlineMs: 3000 });
  };
  expect(await asked({ expect: 'cell' })).toBe('a cell');
  expect(await asked({ expect: 'cell', expectName: 'cell-1' })).toBe('a cell');
  await expect(asked({ expect: 'cell', expectName: 'cell-2' })).rejects.toMatchObject({
    reason: 'UNAVAILABLE',
    message: expect.stringContaining('expected cell cell-2, found cell cell-1'),
  });
  await expect(asked({})).rejects.toMatchObject({ message: expect.stringContaining('expected a server, found cell') });
});

test('a client certificate does not serve', async () => {
  const host = await bed.host({ identity: await bed.identity('client') });
  const { port: rogue } = await host.listen('127.0.0.1:0');
  const client = bed.dial(EchoClient, rogue, await bed.identity('client'));
  await expect(unary(client, client.ask, 'hi', { deadlineMs: 3000 })).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
});
