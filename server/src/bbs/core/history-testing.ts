import { UpdateStrategy } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { RiveraError } from '@rivera/kit/errors';
import fc from 'fast-check';
import { failPlacement, retireActualLrp } from './actual-lrp.js';
import { cellArrived, cellLost, cellUpdated, evacuateCell, reconcileInventory } from './cell.js';
import type { ModelCell, ModelCluster } from './cluster-testing.js';
import { auditProcess } from './converge.js';
import { desireLrp, removeDesiredLrp, updateDesiredLrp } from './desired-lrp.js';
import { upsertDomain } from './domain.js';
import type { Draft } from './draft.js';
import { instancesOf, must, rowsOf } from './invariants-testing.js';
import { moveActualLrp } from './succession.js';
import { cancelTask, deleteTask, desireTask, rejectTask, resolveTask, retryTaskCallback, startTask } from './task.js';
import { postponeCallback } from './task-callback.js';
import { newLrp, newTask, presence } from './testing.js';

/** What may happen to a cluster, and histories made of it. */

/** What every history is made of, the frequent more often, and what only some have: a few kinds at a time lead far into corners. */
const USUAL = ['desire', 'desireTask', 'place', 'startUp', 'startUp', 'startUp', 'speak', 'speak', 'wait'] as const;
const SPECIAL = [
  'change',
  'retire',
  'cancel',
  'result',
  'callback',
  'domain',
  'notPlaced',
  'speakUnanswered',
  'repeat',
  'end',
  'giveBack',
  'obey',
  'lose',
  'hangUp',
  'cutOff',
  'connect',
  'inventory',
  'interrupt',
  'evacuate',
  'move',
] as const;
type Operation = (typeof USUAL)[number] | (typeof SPECIAL)[number];

/** One step: what happens, as a number into the history's kinds of steps, and numbers that say to whom; all equally likely. */
const step = fc.noBias(fc.record({ kind: fc.nat(999), cell: fc.nat(5), n: fc.nat(29), m: fc.nat(3) }));

export const history = fc
  .record({
    special: fc.subarray([...SPECIAL], { minLength: 3, maxLength: 10 }),
    steps: fc.array(step, { minLength: 1, maxLength: 150, size: 'max' }),
    /** Cells, LRPs and Tasks; the fewer, the more they get into each other's way. */
    cells: fc.integer({ min: 2, max: 3 }),
    things: fc.integer({ min: 1, max: 2 }),
    /** A watcher comes before this step. */
    watchFrom: fc.nat(149),
  })
  .map(({ special, steps, ...rest }) => {
    const kinds: readonly Operation[] = [...USUAL, ...special, ...special, ...special];
    return {
      ...rest,
      steps: steps.map(({ kind, cell, n, m }): Step => {
        const op = kinds[kind % kinds.length] as Operation;
        return { op, cell, processGuid: `p${n % rest.things}`, guid: `t${n % rest.things}`, n, m };
      }),
    };
  });
interface Step {
  readonly op: Operation;
  readonly cell: number;
  readonly processGuid: string;
  readonly guid: string;
  readonly n: number;
  readonly m: number;
}

export const DOMAINS = ['d', 'e'];
const WAITS_MS = [1_000, 6_000, 16_000, 31_000];

export function perform(cluster: ModelCluster, each: Step): void {
  const { op, processGuid, guid, n, m } = each;
  const cell = whose(cluster, each);
  switch (op) {
    case 'desire':
    case 'change':
    case 'retire':
    case 'desireTask':
    case 'cancel':
    case 'result':
    case 'callback':
    case 'domain':
      cluster.try((draft) => command(draft, op, each));
      return;
    case 'place': {
      // An auctioneer that got no answer may offer the same again.
      const offer = m === 0 ? pick(cluster.offers, n) : take(cluster.offers, n);
      if (offer) cluster.take(cell, offer);
      return;
    }
    case 'startUp': {
      // What mostly happens: it is placed, and then claimed and up.
      const offer = cluster.offers.pop();
      const held = offer && cluster.take(cell, offer);
      if (!cell.connected) return;
      for (let i = 0; i <= Math.min(m, 1); i++) if (held && cell.holds(held)) cluster.speak(cell, held, true);
      return;
    }
    case 'notPlaced': {
      // Results may come late, when the work has gone on.
      if (m < 2) cluster.try((draft) => rejectTask(draft, guid, 'no room'));
      else cluster.try((draft) => failPlacement(draft, processGuid, m - 2, 'no room', []));
      return;
    }
    case 'speak':
    case 'speakUnanswered': {
      const held = pick([...cell.instances.values(), ...cell.tasks.values()], n);
      if (held && cell.connected) cluster.speak(cell, held, op === 'speak');
      return;
    }
    case 'end': {
      const held = pick(
        [...cell.instances.values()].filter(({ phase }) => phase === 'claimed' || phase === 'running'),
        n,
      );
      if (held) held.phase = 'crashed';
      const task = pick(
        [...cell.tasks.values()].filter(({ phase }) => phase === 'started'),
        m,
      );
      if (task) task.phase = 'ended';
      return;
    }
    case 'giveBack': {
      const held = pick([...cell.tasks.values()], n);
      if (!held || !cell.connected) return;
      cluster.say(cell, { kind: 'reject', taskGuid: held.taskGuid, executionGuid: held.executionGuid });
      cell.tasks.delete(held.executionGuid);
      return;
    }
    case 'obey':
      if (cell.connected) cluster.obey(cell);
      return;
    case 'repeat': {
      const statement = pick(cell.said, n);
      if (statement && cell.connected) cluster.say(cell, statement);
      return;
    }
    case 'lose': {
      const lost = pick([...cell.instances.keys(), ...cell.tasks.keys()], n) ?? '';
      cell.instances.delete(lost);
      cell.tasks.delete(lost);
      return;
    }
    case 'hangUp':
      cell.connected = false;
      // Sometimes with the machine.
      if (m === 0) cell.forgetAll();
      return;
    case 'cutOff':
      cell.connected = false;
      cluster.wait(cluster.state.policy.presenceTtlMs + 1_000);
      return;
    case 'connect':
      if (m < 2) cluster.connect(cell, 'i1');
      else restart(cluster, cell, m === 3);
      return;
    case 'inventory':
      if (cell.connected) cluster.tellAll(cell);
      return;
    case 'wait':
      cluster.wait(WAITS_MS[m] as number);
      return;
    case 'evacuate':
      // An operator says so, or the cell itself.
      if (m < 2) cluster.try((draft) => evacuateCell(draft, cell.cellId));
      else if (cell.connected) cluster.run((draft) => cellUpdated(draft, cell.cellId, { evacuating: true }));
      return;
    case 'move': {
      const row = cluster.state.slot(processGuid, m).ordinary;
      if (row) cluster.try((draft) => moveActualLrp(draft, row));
      return;
    }
    case 'interrupt':
      interrupt(cluster, each, cell.cellId);
      return;
  }
}

/** An agent ends and starts: it remembers nothing of what was asked. How far a container had come is known by what was recorded. */
function restart(cluster: ModelCluster, cell: ModelCell, behind: boolean): void {
  for (const held of [...cell.instances.values(), ...cell.tasks.values()]) held.asked = false;
  if (behind) for (const held of cell.instances.values()) if (held.phase === 'running') held.phase = 'claimed';
  cluster.connect(cell, cluster.name('incarnation'));
}

type Client = 'desire' | 'change' | 'retire' | 'desireTask' | 'cancel' | 'result' | 'callback' | 'domain';

/** What clients ask for. */
function command(draft: Draft, op: Client, { processGuid, guid, n, m }: Step): unknown {
  switch (op) {
    case 'desire': {
      const domain = DOMAINS[n % 7 === 0 ? 1 : 0] as string;
      return desireLrp(draft, {
        ...newLrp(processGuid, Math.max(1, m)),
        domain,
        updateStrategy: processGuid === 'p0' ? UpdateStrategy.ROLLING : UpdateStrategy.RECREATE,
        definitionDigest: `${domain}/${Math.max(1, m)}`,
      });
    }
    case 'change':
      if (n % 3 === 0) return removeDesiredLrp(draft, processGuid);
      if (n % 5 === 0)
        return updateDesiredLrp(draft, processGuid, { routes: { 'internal-router': '[{"hostname":"x"}]' } });
      return updateDesiredLrp(draft, processGuid, { instances: m });
    case 'retire': {
      const row = draft.state.slot(processGuid, m).ordinary;
      return row && retireActualLrp(draft, row, 'retired by a client');
    }
    case 'desireTask':
      return desireTask(draft, { ...newTask(guid), callbackUrl: m === 0 ? 'http://127.0.0.1/' : '' });
    case 'cancel':
      return cancelTask(draft, guid);
    case 'result':
      return [resolveTask, deleteTask, undelivered, resolveTask][m]?.(draft, guid);
    case 'callback':
      if (m === 3) return retryTaskCallback(draft, guid);
      resolveTask(draft, guid);
      return undelivered(draft, guid);
    case 'domain':
      return upsertDomain(draft, DOMAINS[n % 2] as string, m * 20_000);
  }
}

function undelivered(draft: Draft, guid: string): void {
  postponeCallback(draft, guid, 'HTTP 500');
}

/** The cell that a step is about: one to which it can happen, if there is one. */
function whose(cluster: ModelCluster, { op, cell }: Step): ModelCell {
  const { cells } = cluster;
  const fit = (able: (cell: ModelCell) => boolean) =>
    pick(cells.filter(able), cell) ?? (pick(cells, cell) as ModelCell);
  switch (op) {
    case 'speak':
    case 'speakUnanswered':
    case 'giveBack':
      return fit((each) => each.connected && each.instances.size + each.tasks.size > 0);
    case 'end':
    case 'lose':
      return fit((each) => each.instances.size + each.tasks.size > 0);
    case 'obey':
      return fit((each) => each.commands.length > 0);
    case 'connect':
      return fit((each) => !each.connected);
    default:
      return fit((each) => each.connected);
  }
}

function pick<T>(items: readonly T[], n: number): T | undefined {
  return items[n % Math.max(1, items.length)];
}

function take<T>(items: T[], n: number): T | undefined {
  return items.splice(n % Math.max(1, items.length), 1)[0];
}

class Interruption extends Error {}

/** A command that fails after it has changed much: nothing of it may be left. */
function interrupt(cluster: ModelCluster, each: Step, cellId: string): void {
  const { processGuid, guid, n, m } = each;
  const parts: ((draft: Draft) => unknown)[] = [
    (draft) => cellLost(draft, cellId),
    (draft) => cellArrived(draft, presence(cellId), 'other'),
    (draft) => evacuateCell(draft, cellId),
    (draft) => cellUpdated(draft, cellId, { evacuating: true }),
    (draft) => reconcileInventory(draft, cellId, { lrps: [], tasks: [] }),
    (draft) => startTask(draft, guid, cellId, 'interrupted'),
    (draft) => auditProcess(draft, processGuid),
    ...(['desire', 'change', 'retire', 'desireTask', 'cancel', 'result', 'callback', 'domain'] as const).map(
      (op) => (draft: Draft) => command(draft, op, each),
    ),
  ];
  const before = remember(cluster);
  try {
    cluster.run((draft) => {
      for (const [i, part] of [
        parts[n % parts.length],
        parts[(n * 7 + m) % parts.length],
        parts[(n + m) % parts.length],
      ].entries()) {
        try {
          part?.(draft);
        } catch (error) {
          if (!(error instanceof RiveraError) || i === 0) throw error;
        }
      }
      throw new Interruption();
    });
  } catch (error) {
    if (!(error instanceof Interruption) && !(error instanceof RiveraError)) throw error;
  }
  const after = remember(cluster);
  must(before.rows.size === after.rows.size, 'a command that failed left rows behind, or took some away');
  for (const [key, row] of before.rows) must(after.rows.get(key) === row, `a command that failed changed ${key}`);
  for (const [key, at] of before.due) {
    const now = after.due.get(key);
    // A row may be looked at sooner than before, never later; a cell has no row to say when.
    must(
      now !== undefined && at !== undefined && now <= at && (now === at || !key.startsWith('c/')),
      `${key} was due at ${at} and is at ${now}`,
    );
  }
}

function remember({ state, cells }: ModelCluster) {
  const keys = [
    ...[...state.tasks.keys()].map((guid) => `t/${guid}`),
    ...instancesOf(state).map(({ processGuid, index, generation }) => `l/${processGuid}/${index}/${generation}`),
    ...[...state.domains.keys()].map((domain) => `d/${domain}`),
    ...cells.map(({ cellId }) => `c/${cellId}`),
  ];
  return {
    rows: rowsOf(state),
    due: new Map(keys.filter((key) => state.due.at(key) !== undefined).map((key) => [key, state.due.at(key)])),
  };
}
