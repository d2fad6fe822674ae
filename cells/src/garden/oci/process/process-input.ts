import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { agentMark } from '../../../kernel/agent-mark.js';
import { hasCode, isMissing } from '../../../kernel/durable.js';
import { GardenError, type WindowSize } from '../../garden.js';
import { roomToWrite } from '../../room-to-write.js';
import type { ProcessPlaces } from './supervisor.js';

/** Ctrl-D: what a terminal gets instead of an end of input. */
const END_OF_TRANSMISSION = Buffer.from('\x04');
/** Message of the supervisor's control pipe: the terminal has another size. */
const RESIZE = 1;
/** What the supervisor takes at once from its socket. */
const PACKET_BYTES = '8192';

/** Whether this machine has what writes to processes. */
export function hasBridge(): boolean {
  return (process.env.PATH ?? '').split(':').some((dir) => existsSync(join(dir, 'socat')));
}

/**
 * What goes into a process under a supervisor. The supervisor takes it on a socket of packets, which Node can't speak; `socat`
 * can, and keeps order and pace. It is started with the first byte and ends with the process or with this program.
 */
export class ProcessInput {
  private bridge: ChildProcess | undefined;
  private ended = false;

  constructor(
    private readonly places: ProcessPlaces,
    private readonly kind: 'none' | 'pipe' | 'terminal',
  ) {}

  async write(data: Buffer, signal?: AbortSignal): Promise<void> {
    this.assertInput();
    if (this.ended) return;
    const { stdin } = this.connect();
    if (!stdin) return;
    // Room first: clients come and go, and what all of them say must not wait here for a process that doesn't read.
    while (stdin.writableNeedDrain && !stdin.destroyed) await roomToWrite(stdin, signal);
    if (stdin.writable && !stdin.write(data)) await roomToWrite(stdin, signal);
  }

  async end(): Promise<void> {
    this.assertInput();
    if (this.kind === 'terminal') return this.write(END_OF_TRANSMISSION);
    if (this.ended) return;
    this.ended = true;
    this.connect().stdin?.end();
  }

  async resize({ columns, rows }: WindowSize): Promise<void> {
    if (this.kind !== 'terminal') return;
    // Nobody reads it any more once the process has ended.
    const control = await open(join(this.places.dir, 'ctl'), constants.O_WRONLY | constants.O_NONBLOCK).catch(absent);
    if (!control) return;
    try {
      await control.write(`${RESIZE} ${rows} ${columns}\n`);
    } finally {
      await control.close();
    }
  }

  /** Lets go; the bridge ends by itself when nothing comes from here any more. */
  async close(): Promise<void> {
    this.ended = true;
    const { bridge } = this;
    if (!bridge || bridge.exitCode !== null || bridge.signalCode !== null) return;
    const gone = once(bridge, 'exit');
    bridge.kill('SIGTERM');
    await gone.catch(() => undefined);
  }

  private connect(): ChildProcess {
    if (this.bridge) return this.bridge;
    // What comes back is in the log already. The socket is named from its folder, as its full path may be too long for one.
    const args = ['-b', PACKET_BYTES, '-t', '0', 'STDIN!!OPEN:/dev/null', 'UNIX-CONNECT:attach,type=5'];
    const child = spawn('socat', args, {
      cwd: this.places.dir,
      stdio: ['pipe', 'ignore', 'ignore'],
      env: { ...process.env, ...agentMark },
    });
    if (child.pid === undefined) {
      // Nor are there streams then, when no descriptor was left.
      child.on('error', () => undefined);
      throw new GardenError('process-failed', "the process's input can't be reached now: socat could not be started");
    }
    // A process that doesn't read its input, or has ended, isn't an error.
    child.stdin.on('error', () => undefined);
    // As many may wait for room as there are clients.
    child.stdin.setMaxListeners(0);
    child.on('error', () => child.stdin.destroy());
    this.bridge = child;
    return child;
  }

  private assertInput(): void {
    if (this.kind === 'none') throw new GardenError('no-stdin', 'the process was run without standard input');
  }
}

function absent(error: unknown): undefined {
  if (isMissing(error) || hasCode(error, 'ENXIO')) return undefined;
  throw error;
}
