import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { parseProxyHeader, takeProxyHeader } from './proxy-protocol.js';

const SIGNATURE = '0d0a0d0a000d0a515549540a';
const binary = (hex: string) => Buffer.from(SIGNATURE + hex, 'hex');

describe('a PROXY header', () => {
  it.each([
    ['PROXY TCP4 192.0.2.1 192.0.2.2 50000 22\r\nSSH', { address: '192.0.2.1', port: 50_000, bytes: 41 }],
    ['PROXY TCP6 2001:db8::1 ::1 1 22\r\n', { address: '2001:db8::1', port: 1, bytes: 33 }],
    ['PROXY UNKNOWN\r\n', { address: undefined, port: 0, bytes: 15 }],
    ['PROXY TCP4 192.0', undefined],
    ['PR', undefined],
  ])('as text: %j', (text, meant) => {
    expect(parseProxyHeader(Buffer.from(text))).toEqual(meant);
  });

  it.each([
    [binary('2111000cc0000201c0000202c3500016ff'), { address: '192.0.2.1', port: 50_000, bytes: 28 }],
    [
      binary('2121002420010db8000000000000000000000001000000000000000000000000000000010001 0016'.replace(' ', '')),
      { address: '2001:db8:0:0:0:0:0:1', port: 1, bytes: 52 },
    ],
    [binary('20000000'), { address: undefined, port: 0, bytes: 16 }],
    [binary('2111000cc000'), undefined],
  ])('as bytes: %o', (data, meant) => {
    expect(parseProxyHeader(data)).toEqual(meant);
  });

  it.each([
    'SSH-2.0-x\r\n',
    'PROXY TCP4 x y 1 2\r\n',
    'PROXY TCP4 ::1 ::1 1 2\r\n',
    'PROXY TCP6 .::. x 1 2\r\n',
    'PROXY TCP4 192.0.2.1 x 70000 2\r\n',
    `PROXY ${'x'.repeat(200)}`,
    'PROXX',
  ])('is not %j', (text) => {
    expect(() => parseProxyHeader(Buffer.from(text))).toThrow();
  });

  it.each([binary('1111000c'), binary('2111ffff'), binary('21110002aaaa')])('is not %o', (data) => {
    expect(() => parseProxyHeader(data)).toThrow();
  });

  it('is taken off a connection, whatever pieces it comes in, and the rest is left', async () => {
    const { client, served, close } = await pair();
    client.write('PROXY TCP4 192.0.');
    const header = takeProxyHeader(served, 30_000);
    client.write('2.1 192.0.2.2 50000 22\r\nrest');
    expect(await header).toMatchObject({ address: '192.0.2.1' });
    const [rest] = await once(served.resume(), 'data');
    expect(String(rest)).toBe('rest');
    close();
  });

  it('that does not come ends the wait', async () => {
    const { served, close } = await pair();
    await expect(takeProxyHeader(served, 10)).rejects.toThrow('in time');
    close();
  });
});

async function pair(): Promise<{ client: Socket; served: Socket; close: () => void }> {
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const arrived = once(server, 'connection');
  const client = connect((server.address() as { port: number }).port, '127.0.0.1');
  const [served] = (await arrived) as [Socket];
  const close = () => {
    client.destroy();
    served.destroy();
    server.close();
  };
  return { client, served, close };
}
