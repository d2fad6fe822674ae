import { ActualLrp, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { ContainerState } from '@rivera/gen/rivera/rep/v1/container';
import type { Identity } from '@rivera/kit/tls/identity';
import type { RiveraClient } from '@rivera/sdk/client';
import { Database } from '@rivera/server/database/pool';
import type { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { differences } from './records.js';
import { Replica } from './replica.js';
import { type Holdings, heldByCells, inDatabase, instancesAt, listed, living } from './sources.js';
import { Writes } from './writes.js';

const GLANCE_EVERY_MS = 1_000;
/** What is looked for long enough is found; what is kept for the report is bounded. */
const MOST_VIOLATIONS = 20;

/**
 * The promises of the platform, checked from outside while a test does its worst. At any moment ("glance"): every event
 * continues what was there, a listing equals snapshot and events up to its revision, the database equals them up to its own, and
 * no cell holds more than it has. At a quiet moment: API, database and events say the same, every acknowledged write is there,
 * and what the BBS believes to run is held by that cell, and nothing else is.
 */
export class Invariants {
  /** Glances at which listing and database could be compared with the events. */
  compared = { listings: 0, databases: 0 };
  readonly writes: Writes;
  readonly replica: Replica;
  private readonly found: string[] = [];
  private readonly database: Database;
  private readonly over = new AbortController();
  private readonly glancing: Promise<void>;
  private glance: Promise<void> = Promise.resolve();
  private paused = false;

  private constructor(
    private readonly client: RiveraClient,
    private readonly addresses: readonly string[],
    private readonly identities: { server: Identity; client: Identity },
    databaseUrl: string,
  ) {
    this.database = new Database({ url: databaseUrl, connections: 2 });
    this.replica = new Replica(client);
    this.writes = new Writes(client);
    this.glancing = this.glanceAgainAndAgain();
  }

  static async watchOver(stack: Stack): Promise<Invariants> {
    const client = await stack.client();
    const server = await stack.identity('server', 'invariants');
    return new Invariants(
      client,
      stack.addresses,
      { server, client: await stack.identity('client', 'test-client') },
      stack.databaseUrl,
    );
  }

  /** Everything that was found wrong so far. */
  get violations(): readonly string[] {
    return [...this.replica.violations, ...this.found].slice(0, MOST_VIOLATIONS);
  }

  async close(): Promise<void> {
    this.over.abort();
    await this.glancing;
    await Promise.all([this.writes.close(), this.replica.close()]);
    await this.database.close();
  }

  /**
   * Stops writing, waits until nothing changes and everything says the same, and goes on.
   * @returns what differed last, should that never come
   */
  async atQuietMoment(timeoutMs = 20_000): Promise<string[]> {
    this.paused = true;
    await this.writes.pause();
    await this.glance;
    let wrong: string[] = ['it never became quiet'];
    try {
      await until(
        'all sides agree',
        async () => {
          const before = await inDatabase(this.database);
          const api = await listed(this.client);
          const holdings = await heldByCells(this.client, this.identities.server);
          const after = await inDatabase(this.database);
          if (before.revision !== after.revision) return false;
          const lost = this.writes.lostFrom(desiredIn(api.items));
          // The events of the last revision may be on their way still, and a heartbeat shows no item: something must follow.
          await this.writes.write();
          await this.replica.reached(after.revision);
          const events = this.replica.asOf(after.revision) ?? new Map<string, string>();
          const lasting = new Map([...events].filter(([key]) => !key.startsWith('cell/')));
          wrong = [
            ...differences({ name: 'the API', items: api.items }, { name: 'the database', items: after.items }),
            ...differences({ name: 'the API', items: api.items }, { name: 'the events', items: lasting }),
            ...differences(
              { name: 'the API', items: asItems(api.domains) },
              { name: 'the database', items: asItems(after.domains) },
            ),
            ...lost,
            ...disagreements(instancesIn(api.items), holdings),
          ];
          return wrong.length === 0;
        },
        timeoutMs,
      );
    } catch (cause) {
      if (cause instanceof Error && cause.cause !== undefined) wrong.push(String(cause.cause));
      return wrong;
    } finally {
      this.paused = false;
      this.writes.resume();
    }
    return [];
  }

  private async glanceAgainAndAgain(): Promise<void> {
    while (!this.over.signal.aborted) {
      if (!this.paused) {
        this.glance = this.glanceOnce();
        await this.glance;
      }
      await new Promise((resolve) => setTimeout(resolve, GLANCE_EVERY_MS));
    }
  }

  /** While a server is dead there is nothing to look at; the database is there all the same. */
  private async glanceOnce(): Promise<void> {
    const listings = await Promise.all(
      this.addresses.map((address) => instancesAt(address, this.identities.client).catch(() => undefined)),
    );
    const durable = await inDatabase(this.database);
    const holdings = await heldByCells(this.client, this.identities.server).catch(() => []);
    for (const { cellId, state, containers } of holdings) {
      this.found.push(...overload(cellId, state, containers));
    }
    // Both revisions are covered once an event that was made later is there.
    await this.writes.write().catch(() => undefined);
    for (const listing of listings) {
      if (listing === undefined) continue;
      await this.replica.reached(listing.revision);
      const events = this.replica.asOf(listing.revision);
      if (events === undefined) continue;
      this.compared.listings++;
      const instances = new Map([...events].filter(([key]) => key.startsWith('actual/')));
      this.found.push(
        ...differences(
          { name: `the listing at ${listing.revision}`, items: listing.items },
          { name: 'the events', items: instances },
        ),
      );
    }
    await this.replica.reached(durable.revision);
    const events = this.replica.asOf(durable.revision);
    if (events === undefined) return;
    this.compared.databases++;
    const kept = new Map([...events].filter(([key]) => !key.startsWith('cell/')));
    this.found.push(
      ...differences(
        { name: `the database at ${durable.revision}`, items: durable.items },
        { name: 'the events', items: kept },
      ),
    );
  }
}

/** A cell that holds more than it has. */
export function overload(cellId: string, state: Holdings['state'], containers: Holdings['containers']): string[] {
  const { total, available } = state;
  if (total === undefined || available === undefined) return [`cell ${cellId} does not say what it has`];
  const wrong: string[] = [];
  const held = living(containers);
  const sum = (of: (container: Holdings['containers'][number]) => number) =>
    held.reduce((all, each) => all + of(each), 0);
  const resources = [
    ['memory', total.memoryMb, available.memoryMb, sum((each) => each.memoryMb)],
    ['disk', total.diskMb, available.diskMb, sum((each) => each.diskMb)],
    ['containers', total.containers, available.containers, held.length],
  ] as const;
  for (const [name, all, free, taken] of resources) {
    if (free < 0) wrong.push(`cell ${cellId} has ${free} of ${all} ${name} left`);
    if (taken > all) wrong.push(`cell ${cellId} holds ${taken} of ${all} ${name}`);
  }
  return wrong;
}

/** Where what the BBS believes and what cells hold are not the same. */
export function disagreements(instances: readonly ActualLrp[], holdings: readonly Holdings[]): string[] {
  const wrong: string[] = [];
  const running = new Map<string, string>();
  const slots = new Map<string, string>();
  for (const { cellId, containers } of holdings) {
    for (const { containerGuid, state, target } of containers) {
      const place = `${containerGuid} on ${cellId}`;
      if (target?.target?.$case !== 'instance') continue;
      if (state !== ContainerState.RUNNING) {
        wrong.push(`${place} is ${ContainerState[state]}`);
        continue;
      }
      const { processGuid, index } = target.target.value;
      const slot = `${processGuid}/${index}`;
      if (slots.has(slot)) wrong.push(`slot ${slot} runs twice: ${place} and ${slots.get(slot)}`);
      slots.set(slot, place);
      running.set(place, slot);
    }
  }
  for (const { key, instanceGuid, cellId, state } of instances) {
    if (state !== ActualLrpState.RUNNING && state !== ActualLrpState.CLAIMED) continue;
    const place = `${instanceGuid} on ${cellId}`;
    const slot = `${key?.processGuid}/${key?.index}`;
    if (running.get(place) !== slot) wrong.push(`the BBS has ${slot} as ${place}, which the cell does not run`);
    running.delete(place);
  }
  for (const [place, slot] of running) wrong.push(`${place} runs ${slot}, and the BBS does not know`);
  return wrong.slice(0, MOST_VIOLATIONS);
}

function instancesIn(items: ReadonlyMap<string, string>): ActualLrp[] {
  return [...items]
    .filter(([key]) => key.startsWith('actual/'))
    .map(([, text]) => ActualLrp.fromJSON(JSON.parse(text)));
}

function desiredIn(items: ReadonlyMap<string, string>): Map<string, DesiredLrp> {
  const desired = [...items].filter(([key]) => key.startsWith('desired/'));
  return new Map(desired.map(([key, text]) => [key.slice('desired/'.length), DesiredLrp.fromJSON(JSON.parse(text))]));
}

function asItems(names: ReadonlySet<string>): Map<string, string> {
  return new Map([...names].map((name) => [name, 'there']));
}
