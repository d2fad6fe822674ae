import type { Duration } from '@rivera/gen/google/protobuf/duration';
import type { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import {
  type CellCommand,
  CellSessionServiceClient,
  type SessionRequest,
  type SessionResponse,
} from '@rivera/gen/rivera/bbs/v1/session_service';
import type { Clock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { failpoint, failpointsArmed } from '@rivera/kit/failpoint';
import { type BidiStream, bidi, dial, type OpenStream } from '@rivera/kit/grpc/dial';
import type { Logger } from '@rivera/kit/log';
import type { Identity } from '@rivera/kit/tls/identity';
import { Agenda, type Message } from './agenda.js';
import { Bell } from './bell.js';
import { Connection, type Conversation, unlessOver } from './connection.js';
import type { Reconciler } from './reconciler.js';

export interface CellSessionOptions {
  servers: string[];
  identity: Identity;
  presence: CellPresence;
  /** New with each start of the agent. */
  incarnation: string;
  reconciler: Reconciler;
  clock: Clock;
  logger: Logger;
  random: () => number;
  /** Default: over gRPC, as the identity. */
  open?: OpenStream<SessionRequest, SessionResponse>;
  /** The BBS wants this cell drained. */
  onEvacuate(): void;
}

/** Heartbeats when the welcome names no interval. */
const DEFAULT_HEARTBEAT_MS = 5_000;

/** Answers carry definitions, each with up to 1 MiB of files; the outbox asks for about a hundred at a time. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

/**
 * A server that died without a word is noticed after the sum of these at the latest: in time, as a standby waits for the lease to
 * end and then gives cells a time to live to come to it, 30 s together unless configured otherwise.
 */
const KEEPALIVE = { 'grpc.keepalive_time_ms': 5_000, 'grpc.keepalive_timeout_ms': 10_000 };

type Stream = BidiStream<SessionRequest, SessionResponse>;

/**
 * The cell's session with the BBS: presence and transitions go up, answers and commands come down. One writer takes what the
 * agenda says is due and waits while the stream has no room. Each session begins with all that the cell has: what was
 * unanswered, the inventory, and everything acknowledged once more. So does the answer to a request for the inventory.
 *
 * A stream that takes nothing is no reason to begin anew: a server that lives but has its hands full would only have more to do. One
 * that is dead is noticed by the connection, and a server that has not heard of the cell for too long ends the session itself.
 */
export class CellSession {
  readonly #options: CellSessionOptions;
  readonly #connection: Connection;
  #evacuating = false;
  #connected = false;
  /** What the open stream owes. */
  #agenda: Agenda | undefined;
  readonly #bell = new Bell();

  constructor(options: CellSessionOptions) {
    this.#options = options;
    this.#connection = new Connection({
      servers: options.servers,
      clock: options.clock,
      logger: options.logger,
      random: options.random,
      converse: (conversation) => this.#converse(conversation),
    });
    options.reconciler.outbox.onFilled(() => this.#bell.ring());
  }

  /** Whether a BBS has this cell's session now. */
  get connected(): boolean {
    return this.#connected;
  }

  start(): void {
    this.#connection.start();
  }

  /** Tells the BBS that this cell takes no new work. */
  evacuate(): void {
    this.#evacuating = true;
    this.#agenda?.evacuate();
    this.#bell.ring();
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  async #converse({ address, signal, welcomed, end }: Conversation): Promise<void> {
    const { identity, presence, incarnation, logger, reconciler, open = overGrpc(identity) } = this.#options;
    const stream = open(address, signal);
    let stopBeating = (): void => {};
    let writing: Promise<void> | undefined;
    try {
      void stream.write({ message: { $case: 'hello', value: { presence, incarnation } } });
      for await (const { message } of stream.responses) {
        if (message === undefined) continue;
        if (message.$case !== 'welcome') {
          this.#take(message);
          continue;
        }
        if (writing !== undefined) throw new RiveraError('INVALID_REQUEST', 'the BBS welcomed twice');
        welcomed();
        logger.info({ address, epoch: message.value.epoch }, 'session with the BBS is open');
        this.#connected = true;
        // What was unanswered is marked as that first; what is repeated comes behind it and behind the inventory.
        reconciler.outbox.rewind();
        reconciler.repeatAll();
        const agenda = new Agenda(reconciler, this.#evacuating);
        this.#agenda = agenda;
        writing = this.#write(stream, agenda, signal).catch(unlessOver(end));
        stopBeating = this.#beat(agenda, millisecondsOf(message.value.heartbeatInterval) || DEFAULT_HEARTBEAT_MS);
      }
    } finally {
      this.#connected = false;
      this.#agenda = undefined;
      stopBeating();
      end();
      this.#bell.ring();
      await writing;
      stream.close();
    }
  }

  /** Makes a heartbeat due again and again; returns how to stop it. */
  #beat(agenda: Agenda, heartbeatMs: number): () => void {
    const { clock } = this.#options;
    let cancel: () => void;
    const next = (): void => {
      cancel = clock.setTimer(heartbeatMs, () => {
        agenda.beat();
        this.#bell.ring();
        next();
      });
    };
    next();
    return () => cancel();
  }

  async #write(stream: Stream, agenda: Agenda, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const message = agenda.next();
      if (message !== undefined) {
        await stream.write({ message });
        passReportPoints(message);
      } else await this.#bell.heard();
    }
  }

  #take(message: Exclude<NonNullable<SessionResponse['message']>, { $case: 'welcome' }>): void {
    switch (message.$case) {
      case 'acks':
        for (const ack of message.value.acks) this.#options.reconciler.answered(ack);
        return;
      case 'commands':
        for (const { command } of message.value.commands) if (command) this.#obey(command);
        return;
      case 'inventoryRequest':
        this.#agenda?.requestInventory(message.value.requestId);
        this.#options.reconciler.repeatAll();
        this.#bell.ring();
        return;
    }
  }

  #obey(command: NonNullable<CellCommand['command']>): void {
    const { reconciler } = this.#options;
    switch (command.$case) {
      case 'stopLrp': {
        const { key, instanceGuid, reason } = command.value;
        if (key) reconciler.stopLrp({ kind: 'lrp', key, instanceGuid }, reason);
        return;
      }
      case 'cancelTask':
        reconciler.cancelTask(command.value.taskGuid, command.value.executionGuid);
        return;
      case 'updateLrp': {
        const { instanceGuid, internalRoutes, metricTags } = command.value;
        const hostnames = internalRoutes.map((route) => route.hostname);
        reconciler.updateLrp(instanceGuid, { internalRoutes: hostnames, metricTags });
        return;
      }
      case 'evacuate':
        this.evacuate();
        this.#options.onEvacuate();
    }
  }
}

function overGrpc(identity: Identity): OpenStream<SessionRequest, SessionResponse> {
  return (address, signal) => {
    const client = dial(CellSessionServiceClient, address, identity, {
      maxMessageBytes: MAX_ANSWER_BYTES,
      ...KEEPALIVE,
    });
    return { ...bidi(() => client.session(), signal), close: () => client.close() };
  };
}

/** Fail points after a report about a Task has left, e.g. `cell.taskStarted-sent`. */
function passReportPoints(message: Message): void {
  if (!failpointsArmed || message.$case !== 'transitions') return;
  for (const { transition } of message.value.transitions) failpoint(`cell.${transition?.$case}-sent`);
}

function millisecondsOf(duration: Duration | undefined): number {
  return duration ? Math.max(0, duration.seconds * 1_000 + duration.nanos / 1_000_000) : 0;
}
