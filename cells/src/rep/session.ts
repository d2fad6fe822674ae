import type { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import {
  type CellCommand,
  type CellInventory,
  CellSessionServiceClient,
  type SessionRequest,
  type SessionResponse,
  type SessionWelcome,
} from '@rivera/gen/rivera/bbs/v1/session_service';
import type { Clock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { failpoint, failpointsArmed } from '@rivera/kit/failpoint';
import { type BidiStream, bidi, dial } from '@rivera/kit/grpc/dial';
import type { Logger } from '@rivera/kit/log';
import type { Identity } from '@rivera/kit/tls/identity';
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
  /** The BBS wants this cell drained. */
  onEvacuate(): void;
}

/** Heartbeats when the welcome names no interval. */
const DEFAULT_HEARTBEAT_MS = 5_000;

/** Answers carry definitions, each with up to 1 MiB of files; the outbox asks for about a hundred at a time. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

/** Requests that wait at the same time; one would do. */
const MAX_INVENTORY_REQUESTS = 16;

type Stream = BidiStream<SessionRequest, SessionResponse>;
type Message = NonNullable<SessionRequest['message']>;

/**
 * The cell's session with the BBS: presence and transitions go up, answers and commands come down. One writer takes what is
 * due, in this order: a changed presence, a heartbeat, transitions, inventories; it waits while the stream has no room.
 * Transitions go before an inventory, as that names what they ask for.
 */
export class CellSession {
  readonly #options: CellSessionOptions;
  readonly #connection: Connection;
  #evacuating = false;
  #connected = false;
  /** What the open stream owes; begun anew with each. */
  #due = { update: false, heartbeat: false, inventories: [] as number[], parts: [] as CellInventory[] };
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
    this.#due.update = true;
    this.#bell.ring();
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  async #converse({ address, signal, welcomed, end }: Conversation): Promise<void> {
    const { identity, presence, incarnation, logger, reconciler } = this.#options;
    const client = dial(CellSessionServiceClient, address, identity, { maxMessageBytes: MAX_ANSWER_BYTES });
    let stopBeating = (): void => {};
    let writing: Promise<void> | undefined;
    try {
      const stream: Stream = bidi(() => client.session(), signal);
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
        writing = this.#write(stream, signal).catch(unlessOver(end));
        stopBeating = this.#beat(heartbeatMs(message.value));
      }
    } finally {
      this.#connected = false;
      stopBeating();
      end();
      this.#bell.ring();
      await writing;
      client.close();
      reconciler.outbox.rewind();
    }
  }

  /** Makes a heartbeat due again and again; returns how to stop it. */
  #beat(intervalMs: number): () => void {
    let cancel: () => void;
    const next = (): void => {
      cancel = this.#options.clock.setTimer(intervalMs, () => {
        this.#due.heartbeat = true;
        this.#bell.ring();
        next();
      });
    };
    next();
    return () => cancel();
  }

  async #write(stream: Stream, signal: AbortSignal): Promise<void> {
    this.#due = { update: this.#evacuating, heartbeat: false, inventories: [0], parts: [] };
    while (!signal.aborted) {
      const message = this.#next();
      if (message !== undefined) {
        await stream.write({ message });
        passReportPoints(message);
      } else await this.#bell.heard();
    }
  }

  #next(): Message | undefined {
    const { reconciler } = this.#options;
    const due = this.#due;
    if (due.update) {
      due.update = false;
      return { $case: 'update', value: { evacuating: this.#evacuating, capacity: undefined } };
    }
    if (due.heartbeat) {
      due.heartbeat = false;
      return { $case: 'heartbeat', value: reconciler.held.heartbeat() };
    }
    const transitions = reconciler.outbox.take();
    if (transitions.length > 0) return { $case: 'transitions', value: { transitions } };
    const requestId = due.parts.length === 0 ? due.inventories.shift() : undefined;
    if (requestId !== undefined) due.parts = reconciler.held.inventory(requestId, reconciler.asked());
    const part = due.parts.shift();
    return part && { $case: 'inventory', value: part };
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
        if (this.#due.inventories.length < MAX_INVENTORY_REQUESTS) this.#due.inventories.push(message.value.requestId);
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

/** Fail points after a report about a Task has left, e.g. `cell.taskStarted-sent`. */
function passReportPoints(message: Message): void {
  if (!failpointsArmed || message.$case !== 'transitions') return;
  for (const { transition } of message.value.transitions) failpoint(`cell.${transition?.$case}-sent`);
}

function heartbeatMs(welcome: SessionWelcome): number {
  const { heartbeatInterval } = welcome;
  if (heartbeatInterval === undefined) return DEFAULT_HEARTBEAT_MS;
  const ms = heartbeatInterval.seconds * 1_000 + heartbeatInterval.nanos / 1_000_000;
  return ms > 0 ? ms : DEFAULT_HEARTBEAT_MS;
}
