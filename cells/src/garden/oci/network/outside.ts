import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { run, runToEnd } from '../../../kernel/command.js';

/** Listens on TCP ports, answers whatever it is asked by UDP as a name server would, and says when it is ready. */
const LISTENERS = `
const [tcp, udp] = JSON.parse(process.argv[1]);
const { createServer } = require('node:http');
const { createSocket } = require('node:dgram');
const listening = tcp.map((port) => new Promise((done) => createServer((q, a) => a.end(q.socket.remoteAddress + '\\n')).listen(port, '::', done)));
const answer = Buffer.from('c00c00010001000000040004c6120001', 'hex');
listening.push(...udp.map((port) => new Promise((done) => {
  const socket = createSocket('udp6');
  socket.on('message', (query, { port, address }) => {
    const reply = Buffer.concat([query, answer]);
    reply[2] = 0x84; reply[3] = 0; reply[7] = 1;
    socket.send(reply, port, address);
  });
  socket.bind(port, '::', done);
})));
Promise.all(listening).then(() => console.log('ready'));
`;

/** A machine outside of the host, for tests: a network namespace with addresses and listeners, reached through the host. */
export class Outside {
  private constructor(
    private readonly name: string,
    readonly addresses: readonly [string, string],
    readonly address6: string,
    private readonly listeners: ChildProcess,
  ) {}

  static async open(o: { tcp: number[]; udp: number[] }): Promise<Outside> {
    const name = `rvx${process.pid}`;
    await remove(name);
    // A range for tests of networks (RFC 2544), and one that is everybody's own.
    const [high, low] = [(process.pid >> 6) & 255, (process.pid & 63) << 2];
    const address = (last: number) => `198.18.${high}.${low + last}`;
    const other = `198.19.${high}.${low}`;
    const six = (last: number) => `fdfe:${process.pid.toString(16)}::${last}`;
    const batch = (options: string[], lines: string[]) =>
      run('ip', [...options, '-batch', '-'], { input: lines.join('\n') });
    await batch(
      [],
      [
        `netns add ${name}`,
        `link add ${name} type veth peer name eth0 netns ${name}`,
        `link set ${name} up`,
        `addr add ${address(1)}/30 dev ${name}`,
        `addr add ${six(1)}/64 dev ${name} nodad`,
        `route add ${other} via ${address(2)} dev ${name}`,
      ],
    );
    await batch(
      ['-n', name],
      [
        'link set lo up',
        'link set eth0 up',
        `addr add ${address(2)}/30 dev eth0`,
        `addr add ${other}/32 dev eth0`,
        `addr add ${six(2)}/64 dev eth0 nodad`,
        `route add default via ${address(1)}`,
      ],
    );
    const command = ['netns', 'exec', name, process.execPath, '-e', LISTENERS, JSON.stringify([o.tcp, o.udp])];
    const listeners = spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(createInterface(listeners.stdout), 'line');
    return new Outside(name, [address(2), other], six(2), listeners);
  }

  /** What `curl` of a URL there is answered; undefined when nothing comes of it. */
  async fetch(url: string): Promise<string | undefined> {
    const script =
      'fetch(process.argv[1], { signal: AbortSignal.timeout(5000) }).then((a) => a.text()).then(console.log)';
    const { code, stdout } = await runToEnd('ip', ['netns', 'exec', this.name, process.execPath, '-e', script, url]);
    return code === 0 ? stdout.trim() : undefined;
  }

  async route(lines: string[]): Promise<void> {
    await run('ip', ['-n', this.name, '-batch', '-'], { input: lines.join('\n') });
  }

  async close(): Promise<void> {
    const gone = once(this.listeners, 'exit');
    this.listeners.kill('SIGKILL');
    await gone;
    await remove(this.name);
  }
}

async function remove(name: string): Promise<void> {
  await runToEnd('ip', ['link', 'del', name]);
  await runToEnd('ip', ['netns', 'del', name]);
}
