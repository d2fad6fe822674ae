import { request } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { type AdminOptions, AdminServer } from './admin.js';
import { silentLogger } from './log.js';
import { MetricsRegistry } from './metrics.js';

const open: AdminServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((admin) => admin.close()));
});

async function serve(options: Partial<AdminOptions> = {}): Promise<AdminServer> {
  const admin = await AdminServer.listen({
    host: '127.0.0.1',
    port: 0,
    metrics: new MetricsRegistry(),
    ready: async () => [],
    state: () => [],
    remoteState: false,
    logger: silentLogger,
    ...options,
  });
  open.push(admin);
  return admin;
}

const get = (admin: AdminServer, path: string, init?: RequestInit) => fetch(`http://${admin.address}${path}`, init);
const linesOf = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** A request under another host name, as a web page would send it that has made this address its own. */
function getAs(admin: AdminServer, path: string, host: string): Promise<number> {
  const [, port] = admin.address.split(':');
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .once('error', reject)
      .end();
  });
}

test('metrics come in the format of Prometheus', async () => {
  const metrics = new MetricsRegistry();
  metrics.counter({ name: 'runs_total', kind: 'counter', help: 'Runs.' }).add(3);
  const response = await get(await serve({ metrics }), '/metrics');
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  expect(await response.text()).toMatch(/^runs_total 3$/m);
});

describe('health', () => {
  test('is good while the process lives, ready or not', async () => {
    const admin = await serve({ ready: async () => ['no database'] });
    expect((await get(admin, '/healthz')).status).toBe(200);
  });

  test('readiness has its reasons', async () => {
    const reasons: string[] = ['no database'];
    const admin = await serve({ ready: async () => reasons });
    const not = await get(admin, '/readyz');
    expect([not.status, await not.json()]).toEqual([503, { ready: false, reasons: ['no database'] }]);
    reasons.length = 0;
    const ready = await get(admin, '/readyz');
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true, reasons: [] }]);
  });

  test('that can not be found out is not ready', async () => {
    const admin = await serve({ ready: () => Promise.reject(new Error('secret address')) });
    const response = await get(admin, '/readyz');
    expect(response.status).toBe(503);
    expect(await response.text()).not.toContain('secret');
  });
});

describe('the state', () => {
  test('comes as one object a line, the last of which says that all is there', async () => {
    const state = () => Array.from({ length: 5_000 }, (_, n) => ({ kind: 'thing', n, text: 'x'.repeat(100) }));
    const lines = linesOf(await (await get(await serve({ state }), '/debug/state')).text());
    expect(lines).toHaveLength(5_001);
    expect(lines[4_999]).toMatchObject({ kind: 'thing', n: 4_999 });
    expect(lines.at(-1)).toEqual({ kind: 'end', lines: 5_000 });
  });

  test('loses secrets that got into it', async () => {
    const state = () => [{ kind: 'thing', password: 'hunter2', url: 'mysql://root:hunter2@db/x' }];
    expect(await (await get(await serve({ state }), '/debug/state')).text()).not.toContain('hunter2');
  });

  test('that breaks off has no last line', async () => {
    const admin = await serve({
      async *state() {
        yield { kind: 'thing', text: 'x'.repeat(100_000) };
        throw new Error('no longer leading');
      },
    });
    await expect(get(admin, '/debug/state').then((response) => response.text())).rejects.toThrow();
    expect((await get(admin, '/healthz')).status).toBe(200);
  });

  test('is read by one at a time', async () => {
    let go = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const admin = await serve({
      async *state() {
        await gate;
        yield { kind: 'thing' };
      },
    });
    const first = await get(admin, '/debug/state');
    expect((await get(admin, '/debug/state')).status).toBe(429);
    go();
    await first.text();
    expect((await get(admin, '/debug/state')).status).toBe(200);
  });

  test('is for this machine, asked for by its address or as localhost', async () => {
    const admin = await serve();
    expect(await getAs(admin, '/debug/state', 'localhost:1')).toBe(200);
    expect(await getAs(admin, '/debug/state', 'rebound.example:1')).toBe(403);
    expect(await getAs(await serve({ remoteState: true }), '/debug/state', 'rebound.example:1')).toBe(200);
  });
});

test('what it does not know, it says', async () => {
  const admin = await serve();
  const unknown = await get(admin, '/nothing');
  expect([unknown.status, await unknown.text()]).toEqual([404, expect.stringContaining('/metrics')]);
  const posted = await get(admin, '/metrics', { method: 'POST', body: 'x' });
  expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
});

test('closing breaks off what is under way, and frees the port', async () => {
  const admin = await serve({
    async *state() {
      yield { kind: 'thing', text: 'x'.repeat(100_000) };
      await new Promise(() => {});
    },
  });
  const { address } = admin;
  const reading = get(admin, '/debug/state').then((response) => response.text());
  const broken = expect(reading).rejects.toThrow();
  await get(admin, '/healthz');
  await admin.close();
  await broken;
  const again = await serve({ port: Number(address.split(':')[1]) });
  expect(again.address).toBe(address);
});
