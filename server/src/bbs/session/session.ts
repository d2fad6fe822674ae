import type {
  CellCommand,
  CellHeartbeat,
  CellInventory,
  SessionRequest,
  SessionResponse,
  Transition,
  TransitionAck,
} from '@rivera/gen/rivera/bbs/v1/session_service';
import { TaskDefinition } from '@rivera/gen/rivera/bbs/v1/task';
import { RiveraError } from '@rivera/kit/errors';
import type { Logger } from '@rivera/kit/log';
import type { Outgoing } from '../../stream/outgoing.js';
import { fullDesiredLrpToProto } from '../api/to-proto.js';
import { cellUpdated, reconcileInventory } from '../core/cell.js';
import type { DesiredLrpRow } from '../core/model.js';
import type { Engine } from '../engine/engine.js';
import type { PayloadCache } from '../payload-cache.js';
import { digestOfCell } from './digest.js';
import { applyTransition, type Speaker, wantedPayload } from './transition.js';

const MAX_TRANSITIONS_PER_BATCH = 1_000;
/** Batches that may be applied and not yet durable, per session. */
const MAX_OPEN_BATCHES = 32;
/** Digests are compared at every so many heartbeats: comparing costs as much as the cell holds. */
const HEARTBEATS_PER_COMPARISON = 6;
const MAX_INVENTORY_ITEMS = 100_000;
const ACK_MESSAGE_BYTES = 1024 * 1024;

/** What sessions need of the BBS. */
export interface SessionContext {
  readonly engine: Engine;
  readonly runInfos: PayloadCache;
  readonly taskDefinitions: PayloadCache;
  readonly log: Logger;
  /** The cell was heard of. */
  seen(cellId: string): void;
  /** Nothing of the cell is read for now, because of this server. @returns how to say that it is again */
  deafTo(cellId: string): () => void;
}

/** One cell's stream after its hello. */
export class Session {
  private openBatches = 0;
  private acks: Promise<void> = Promise.resolve();
  private roomForBatch: (() => void) | undefined;
  /** Since the last comparison; cells that came together are not compared together. */
  private heartbeats: number;
  private over: Error | undefined;
  /** Work that was taken while parts of an inventory came in, and is therefore not in it. */
  private readonly takenMeanwhile = new Set<string>();
  private inventory: { lrps: CellInventory['lrps']; tasks: CellInventory['tasks'] } = { lrps: [], tasks: [] };
  private inventoryRequests = 0;
  private inventoryOpen = false;

  constructor(
    private readonly context: SessionContext,
    readonly speaker: Speaker,
    readonly outgoing: Outgoing<SessionResponse>,
    /** Another agent than the cell's last one, and its inventory is still to come. */
    private agentIsNew = false,
  ) {
    this.heartbeats = spread(speaker.cellId);
  }

  /** Sends commands; a cell that does not read loses its session and is told again when it is back. */
  command(commands: CellCommand[]): void {
    this.send({ message: { $case: 'commands', value: { commands } } });
  }

  /** Ends the session: what still arrives on it speaks of a time that is over, and is not heard. */
  replace(error: Error): void {
    this.over = error;
    this.outgoing.end(error);
    this.roomForBatch?.();
  }

  /** Handles one message of the cell. @throws what ends the session */
  async receive(request: SessionRequest): Promise<void> {
    if (this.over !== undefined) throw this.over;
    if (this.context.engine.state.cells.get(this.speaker.cellId)?.missing !== false) {
      throw new RiveraError('SESSION_REPLACED', 'this cell was declared missing: open a session anew');
    }
    this.context.seen(this.speaker.cellId);
    const { message } = request;
    switch (message?.$case) {
      case 'hello':
        throw new RiveraError('INVALID_REQUEST', 'hello is said once, first');
      case 'heartbeat':
        return this.heartbeat(message.value);
      case 'transitions':
        return this.transitions(message.value.transitions);
      case 'inventory':
        return this.addInventory(message.value);
      case 'update': {
        const { evacuating, capacity } = message.value;
        await this.context.engine.execute((draft) =>
          cellUpdated(draft, this.speaker.cellId, { evacuating, ...(capacity && { capacity }) }),
        );
        return;
      }
      case undefined:
        return;
    }
  }

  private send(response: SessionResponse): void {
    if (this.outgoing.push(response)) return;
    this.outgoing.end(new RiveraError('TOO_MANY_REQUESTS', 'this cell does not read what it is sent'));
  }

  private async transitions(transitions: readonly Transition[]): Promise<void> {
    if (transitions.length > MAX_TRANSITIONS_PER_BATCH) {
      throw new RiveraError('INVALID_REQUEST', `a batch holds at most ${MAX_TRANSITIONS_PER_BATCH} transitions`);
    }
    const acks = transitions.map((transition) => this.apply(transition));
    // What acknowledgements carry is of this moment, which is durable when they leave; a later one may not be.
    const lrps = new Map(acks.map((ack, i) => [ack, this.lrpFor(transitions[i]?.transition)]));
    const durable = this.context.engine.durable();
    this.openBatches++;
    // Acknowledgements leave in the order of their batches, each only once it is durable.
    this.acks = this.acks
      .then(() => durable)
      .then(() => this.addPayloads(transitions, lrps))
      .then((payloadBytes) => {
        for (const part of inParts(acks, payloadBytes))
          this.send({ message: { $case: 'acks', value: { acks: part } } });
      })
      .catch((error: unknown) => this.outgoing.end(error instanceof Error ? error : new Error(String(error))))
      .finally(() => {
        this.openBatches--;
        this.roomForBatch?.();
      });
    await this.untilRoomForBatch();
  }

  private async untilRoomForBatch(): Promise<void> {
    if (this.openBatches < MAX_OPEN_BATCHES) return;
    const hearAgain = this.context.deafTo(this.speaker.cellId);
    while (this.openBatches >= MAX_OPEN_BATCHES && this.over === undefined) {
      await new Promise<void>((resolve) => {
        this.roomForBatch = resolve;
      });
    }
    hearAgain();
  }

  private apply({ sequence, transition }: Transition): TransitionAck {
    try {
      const outcome = this.context.engine.apply((draft) => applyTransition(draft, this.speaker, transition));
      if (this.inventoryOpen) this.noteTaken(transition);
      return { ...emptyAck(sequence), ...outcome };
    } catch (error) {
      if (!(error instanceof RiveraError)) throw error;
      return { ...emptyAck(sequence), code: error.code, reason: error.reason, message: error.message };
    }
  }

  /** The row that goes with the recipe which the acknowledgement of a claim may carry. */
  private lrpFor(transition: Transition['transition']): DesiredLrpRow | undefined {
    const payload = wantedPayload(transition);
    return payload?.kind === 'run-info' ? this.context.engine.state.desiredLrps.get(payload.guid) : undefined;
  }

  /** @returns the size of what was added, by acknowledgement */
  private async addPayloads(
    transitions: readonly Transition[],
    lrps: ReadonlyMap<TransitionAck, DesiredLrpRow | undefined>,
  ): Promise<ReadonlyMap<TransitionAck, number>> {
    const bytes = new Map<TransitionAck, number>();
    const wanted = [...lrps.keys()].flatMap((ack, i) => {
      const payload = ack.code === 0 ? wantedPayload(transitions[i]?.transition) : undefined;
      return payload === undefined ? [] : [{ ack, ...payload }];
    });
    if (wanted.length === 0) return bytes;
    const guids = (kind: string) => [...new Set(wanted.filter((item) => item.kind === kind).map((item) => item.guid))];
    const [runInfos, definitions] = await Promise.all([
      this.context.runInfos.get(guids('run-info')),
      this.context.taskDefinitions.get(guids('task-definition')),
    ]);
    for (const { ack, kind, guid } of wanted) {
      if (kind === 'run-info') {
        const row = lrps.get(ack);
        const runInfo = runInfos.get(guid);
        if (row && runInfo) {
          ack.desiredLrp = fullDesiredLrpToProto(row, runInfo);
          bytes.set(ack, runInfo.length);
        } else refuse(ack, 'DESIRED_LRP_NOT_FOUND', `there is no LRP "${guid}" any more`);
      } else {
        const definition = definitions.get(guid);
        if (definition) {
          ack.taskDefinition = TaskDefinition.decode(definition);
          bytes.set(ack, definition.length);
        } else refuse(ack, 'TASK_NOT_FOUND', `there is no task "${guid}" any more`);
      }
    }
    return bytes;
  }

  private heartbeat(heartbeat: CellHeartbeat): void {
    this.heartbeats++;
    // What is on its way in either direction would look like a difference: the comparison waits for a heartbeat that says all.
    if (this.heartbeats < HEARTBEATS_PER_COMPARISON || this.openBatches > 0 || heartbeat.unanswered > 0) return;
    this.heartbeats = 0;
    const believed = digestOfCell(this.context.engine.state, this.speaker.cellId);
    if (believed.digest === heartbeat.digest && believed.count === heartbeat.count) return;
    this.inventoryRequests++;
    this.context.log.info(
      { cell: this.speaker.cellId, believed, heartbeat },
      'digests differ: asking for the inventory',
    );
    this.send({ message: { $case: 'inventoryRequest', value: { requestId: this.inventoryRequests } } });
  }

  private noteTaken(transition: Transition['transition']): void {
    if (transition?.$case === 'lrpClaimed' || transition?.$case === 'lrpRunning') {
      this.takenMeanwhile.add(transition.value.instanceGuid);
    } else if (transition?.$case === 'taskStarted') this.takenMeanwhile.add(transition.value.executionGuid);
  }

  private async addInventory(part: CellInventory): Promise<void> {
    for (const lrp of part.lrps) this.inventory.lrps.push(lrp);
    for (const task of part.tasks) this.inventory.tasks.push(task);
    if (this.inventory.lrps.length + this.inventory.tasks.length > MAX_INVENTORY_ITEMS) {
      throw new RiveraError('INVALID_REQUEST', `an inventory holds at most ${MAX_INVENTORY_ITEMS} items`);
    }
    this.inventoryOpen = part.more;
    if (part.more) return;
    const whole = this.inventory;
    const takenMeanwhile = new Set(this.takenMeanwhile);
    this.inventory = { lrps: [], tasks: [] };
    this.takenMeanwhile.clear();
    const lrps = whole.lrps.flatMap(({ key, instanceGuid }) => (key === undefined ? [] : [{ ...key, instanceGuid }]));
    const { agentIsNew } = this;
    this.agentIsNew = false;
    const { lost, stopped } = await this.context.engine.execute((draft) =>
      reconcileInventory(draft, this.speaker.cellId, { lrps, tasks: whole.tasks, takenMeanwhile, agentIsNew }),
    );
    if (lost + stopped > 0) this.context.log.info({ cell: this.speaker.cellId, lost, stopped }, 'inventory reconciled');
  }
}

/** A number below the heartbeats of a comparison, another one for each cell. */
function spread(cellId: string): number {
  let sum = 0;
  for (let i = 0; i < cellId.length; i++) sum = (sum * 31 + cellId.charCodeAt(i)) % 1_000_003;
  return sum % HEARTBEATS_PER_COMPARISON;
}

/** Recipes can be large: acknowledgements go in messages of about a mebibyte. */
function* inParts(
  acks: readonly TransitionAck[],
  bytes: ReadonlyMap<TransitionAck, number>,
): Generator<TransitionAck[]> {
  let part: TransitionAck[] = [];
  let size = 0;
  for (const ack of acks) {
    part.push(ack);
    size += bytes.get(ack) ?? 0;
    if (size < ACK_MESSAGE_BYTES) continue;
    yield part;
    part = [];
    size = 0;
  }
  if (part.length > 0) yield part;
}

function emptyAck(sequence: number): TransitionAck {
  return {
    sequence,
    code: 0,
    reason: '',
    message: '',
    desiredLrp: undefined,
    taskDefinition: undefined,
    shouldStart: false,
  };
}

function refuse(ack: TransitionAck, reason: 'DESIRED_LRP_NOT_FOUND' | 'TASK_NOT_FOUND', message: string): void {
  const error = new RiveraError(reason, message);
  ack.code = error.code;
  ack.reason = reason;
  ack.message = message;
  ack.shouldStart = false;
}
