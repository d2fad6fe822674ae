import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { extname } from 'node:path';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { agentMark } from '../../../kernel/agent-mark.js';
import { type ContainerListener, GardenError, type TcpAddress } from '../../garden.js';
import type { DoorAnswer, DoorRequest } from './door-main.js';

/** How long a helper stays after its last use: starting one takes some 50 ms, keeping one some 40 MB. */
const IDLE_MS = 20_000;
/** Longer than any connection takes that will come about. */
const ANSWER_MS = 30_000;
/** Requests of one container that wait for an answer. */
const MAX_WAITING = 256;

type Take = (answer: DoorAnswer | GardenError, socket?: Socket) => void;

/**
 * Opens TCP connections and ports inside a container's network. A small helper process enters the network namespace, makes the socket
 * there and hands it over: a socket stays in the network it was made in, so its bytes then go through this program alone.
 */
export class NetworkDoor {
  #helper: ChildProcess | undefined;
  readonly #waiting = new Map<number, Take>();
  readonly #listening = new Map<number, { accepted: Take; ended: () => void }>();
  #last = 0;
  #idle: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param netns path of the network namespace */
  constructor(private readonly netns: string) {}

  /** @throws GardenError `connect-failed` with the reason, as "connect ECONNREFUSED 127.0.0.1:80" */
  async connect(address: TcpAddress, files: { hosts: string; resolvConf: string }): Promise<Duplex> {
    const { socket } = await this.#ask({ op: 'connect', ...address, ...files });
    if (!socket) throw new GardenError('connect-failed', 'the connection broke at once');
    return ready(socket);
  }

  /** @throws GardenError `connect-failed` when the address can't be listened on */
  async listen(
    address: TcpAddress,
    accepted: (connection: Duplex, origin: TcpAddress) => void,
  ): Promise<ContainerListener> {
    let ended = () => {};
    const id = ++this.#last;
    this.#listening.set(id, {
      accepted: (answer, socket) => {
        if (answer instanceof GardenError || !socket) return;
        accepted(ready(socket), { host: answer.host ?? '', port: answer.port ?? 0 });
      },
      ended: () => ended(),
    });
    try {
      const { answer } = await this.#ask({ op: 'listen', ...address }, id);
      return {
        port: answer.port ?? address.port,
        onEnd: (listener) => {
          ended = listener;
          if (!this.#listening.has(id)) listener();
        },
        close: () => {
          if (this.#listening.delete(id)) this.#helper?.send({ id, op: 'close' } satisfies DoorRequest);
          this.#rest();
        },
      };
    } catch (error) {
      this.#listening.delete(id);
      throw error;
    }
  }

  /** Ends the helper; connections that stand are their owners'. */
  close(): void {
    this.#closed = true;
    this.#end();
  }

  #ask(request: DoorQuestion, id = ++this.#last): Promise<{ answer: DoorAnswer; socket: Socket | undefined }> {
    if (this.#closed) return Promise.reject(new GardenError('connect-failed', 'the container is about to end'));
    if (this.#waiting.size >= MAX_WAITING) {
      return Promise.reject(new GardenError('connect-failed', `${MAX_WAITING} connections are being made already`));
    }
    clearTimeout(this.#idle);
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => take(new GardenError('connect-failed', 'connect ETIMEDOUT')), ANSWER_MS);
      const take: Take = (answer, socket) => {
        clearTimeout(late);
        this.#waiting.delete(id);
        this.#rest();
        if (answer instanceof GardenError) reject(answer);
        else if (answer.error !== undefined) reject(new GardenError('connect-failed', answer.error));
        else resolve({ answer, socket });
      };
      this.#waiting.set(id, take);
      this.#helper ??= this.#start();
      this.#helper.send({ ...request, id } as DoorRequest);
    });
  }

  #start(): ChildProcess {
    const main = fileURLToPath(new URL(`./door-main${extname(import.meta.url)}`, import.meta.url));
    const flags = extname(main) === '.ts' ? ['--conditions=source', '--import', 'tsx'] : ['--max-old-space-size=64'];
    const helper = spawn('nsenter', [`--net=${this.netns}`, process.execPath, ...flags, main], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: { PATH: process.env.PATH ?? '', ...agentMark },
    });
    helper.on('message', (answer: DoorAnswer, handle) => {
      const socket = handle instanceof Socket ? handle : undefined;
      const take = answer.accepted ? this.#listening.get(answer.id)?.accepted : this.#waiting.get(answer.id);
      if (take) take(answer, socket);
      else socket?.destroy();
    });
    const gone = () => {
      if (this.#helper === helper) this.#end();
    };
    helper.on('error', gone);
    helper.on('exit', gone);
    return helper;
  }

  /** Lets the helper go once it has had nothing to do for a while. */
  #rest(): void {
    clearTimeout(this.#idle);
    if (this.#waiting.size > 0 || this.#listening.size > 0) return;
    this.#idle = setTimeout(() => this.#end(), IDLE_MS);
    this.#idle.unref();
  }

  #end(): void {
    clearTimeout(this.#idle);
    const helper = this.#helper;
    this.#helper = undefined;
    if (helper?.connected) helper.disconnect();
    helper?.kill('SIGKILL');
    for (const take of [...this.#waiting.values()]) take(new GardenError('connect-failed', 'the network is gone'));
    const listeners = [...this.#listening.values()];
    this.#listening.clear();
    for (const { ended } of listeners) ended();
  }
}

type DoorQuestion =
  | { op: 'connect'; host: string; port: number; hosts: string; resolvConf: string }
  | { op: 'listen'; host: string; port: number };

/** Each end may close its own direction; what breaks is its reader's to notice. */
function ready(socket: Socket): Socket {
  socket.allowHalfOpen = true;
  socket.setNoDelay(true);
  return socket;
}
