import type { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import {
  type CellCommand,
  type CellHeartbeat,
  type CellHello,
  type CellInventory,
  CellSessionServiceService,
  type SessionRequest,
  type SessionResponse,
  type Transition,
  TransitionAck,
} from '@rivera/gen/rivera/bbs/v1/session_service';
import type { TaskDefinition } from '@rivera/gen/rivera/bbs/v1/task';
import { RiveraError } from '@rivera/kit/errors';
import type { GrpcHost } from '@rivera/kit/grpc/host';
import { Bell } from '../bell.js';

/** One transition as "claim a" and the like; what tests read. */
export function describeTransition({ transition }: Transition): string {
  switch (transition?.$case) {
    case 'lrpClaimed':
      return `claim ${transition.value.instanceGuid}${transition.value.includeDefinition ? '' : ' again'}`;
    case 'lrpRunning':
      return `running ${transition.value.instanceGuid}`;
    case 'lrpCrashed':
      return `crash ${transition.value.instanceGuid}: ${transition.value.reason}`;
    case 'lrpRemoved':
      return `remove ${transition.value.instanceGuid}`;
    case 'taskStarted':
      return `start ${transition.value.taskGuid}${transition.value.includeDefinition ? '' : ' again'}`;
    case 'taskRejected':
      return `reject ${transition.value.taskGuid}: ${transition.value.reason}`;
    case 'taskCompleted': {
      const { taskGuid, failed, failureReason, result } = transition.value;
      return `complete ${taskGuid}: ${failed ? `failed ${failureReason}` : result}`;
    }
    default:
      return 'unknown';
  }
}

type Message = NonNullable<SessionResponse['message']>;

/** A BBS that answers as the test wants, behind a real gRPC server. */
export class FakeBbs {
  readonly hellos: CellHello[] = [];
  readonly transitions: Transition[] = [];
  readonly inventories: CellInventory[] = [];
  readonly heartbeats: CellHeartbeat[] = [];
  readonly updates: boolean[] = [];
  /** Kinds of messages in the order in which they came. */
  readonly order: string[] = [];
  definition: DesiredLrp | undefined;
  task: TaskDefinition | undefined;
  heartbeatMs = 60_000;
  presenceTtlMs = 15_000;
  /** Answers a transition; undefined: no answer comes. */
  answer: (transition: Transition) => Partial<TransitionAck> | undefined = () => ({});
  /** Refuses new sessions with this. */
  refuse: RiveraError | undefined;
  #send: ((message: Message) => void) | undefined;
  #break: ((error: RiveraError) => void) | undefined;

  serveOn(host: GrpcHost): void {
    host.add(
      CellSessionServiceService,
      { session: (requests, context) => this.#session(requests, context.signal) },
      { default: ['cell'] },
    );
  }

  /** What has come, as text. */
  get seen(): string[] {
    return this.transitions.map(describeTransition);
  }

  command(command: NonNullable<CellCommand['command']>): void {
    this.#send?.({ $case: 'commands', value: { commands: [{ command }] } });
  }

  askInventory(requestId: number): void {
    this.#send?.({ $case: 'inventoryRequest', value: { requestId } });
  }

  ack(ack: Partial<TransitionAck>): void {
    this.#send?.({ $case: 'acks', value: { acks: [TransitionAck.fromPartial({ ...ack })] } });
  }

  /** Ends the open session, as a dying server would or with another reason. */
  breakSession(error = new RiveraError('UNAVAILABLE', 'the test broke the session')): void {
    this.#break?.(error);
  }

  async *#session(requests: AsyncIterable<SessionRequest>, signal: AbortSignal): AsyncIterable<SessionResponse> {
    if (this.refuse) throw this.refuse;
    const bell = new Bell();
    const queue: Message[] = [];
    let broken: RiveraError | undefined;
    const send = (message: Message): void => {
      queue.push(message);
      bell.ring();
    };
    this.#send = send;
    this.#break = (error) => {
      broken = error;
      bell.ring();
    };
    signal.addEventListener('abort', () => bell.ring());
    const reading = (async () => {
      for await (const { message } of requests) if (message && !broken) this.#take(message, send);
    })().catch(() => {});
    while (!signal.aborted) {
      if (broken) throw broken;
      for (const message of queue.splice(0)) yield { message };
      await bell.heard();
    }
    await reading;
  }

  #take(message: NonNullable<SessionRequest['message']>, send: (message: Message) => void): void {
    this.order.push(message.$case);
    switch (message.$case) {
      case 'hello':
        this.hellos.push(message.value);
        send({
          $case: 'welcome',
          value: {
            heartbeatInterval: durationOf(this.heartbeatMs),
            presenceTtl: durationOf(this.presenceTtlMs),
            epoch: 1,
          },
        });
        return;
      case 'heartbeat':
        this.heartbeats.push(message.value);
        return;
      case 'inventory':
        this.inventories.push(message.value);
        return;
      case 'update':
        this.updates.push(message.value.evacuating);
        return;
      case 'transitions': {
        const acks: TransitionAck[] = [];
        for (const transition of message.value.transitions) {
          this.transitions.push(transition);
          const ack = this.#answerTo(transition);
          if (ack) acks.push(ack);
        }
        if (acks.length > 0) send({ $case: 'acks', value: { acks } });
      }
    }
  }

  #answerTo(transition: Transition): TransitionAck | undefined {
    const ack = this.answer(transition);
    if (ack === undefined) return undefined;
    const said = transition.transition;
    return {
      ...TransitionAck.fromPartial({ sequence: transition.sequence, shouldStart: said?.$case === 'taskStarted' }),
      desiredLrp: said?.$case === 'lrpClaimed' && said.value.includeDefinition ? this.definition : undefined,
      taskDefinition: said?.$case === 'taskStarted' && said.value.includeDefinition ? this.task : undefined,
      ...ack,
    };
  }
}

function durationOf(ms: number): { seconds: number; nanos: number } {
  return { seconds: Math.floor(ms / 1_000), nanos: (ms % 1_000) * 1e6 };
}
