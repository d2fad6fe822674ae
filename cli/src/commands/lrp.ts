import { ActualLrp, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { RiveraClient } from '@rivera/sdk/client';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import type { Io } from '../io.js';
import { SSH_ROUTE } from '../recipe/lrp-spec.js';
import { parseCount } from '../recipe/quantities.js';
import type { Session } from '../session.js';
import { renderPairs, renderTable } from '../terminal/table.js';
import { oneLine } from '../terminal/text.js';
import { ageOf, formatTimestamp } from '../terminal/time.js';
import { addReset } from './lrp-reset.js';
import { restart } from './lrp-restart.js';
import { addLrpRun } from './lrp-run.js';
import { withSuggestion } from './names.js';
import { addressesOf, coloured, instanceState, troubleOf } from './states.js';
import { showRunning, untilRunning } from './wait-for-running.js';
import { untilGone } from './wait-until-gone.js';
import { settlingOf, type Waiting, type WaitingToRun, withSettling, withWaiting } from './waiting.js';

/** `rivera lrp …`: processes that are kept up. */
export function addLrp(program: Command, io: Io, outcome: Outcome): void {
  const lrp = program.command('lrp').description('long-running processes, kept up');
  addLrpRun(lrp, io, outcome);
  addList(lrp, io, outcome);
  addShow(lrp, io, outcome);
  addScale(lrp, io, outcome);
  addRestart(lrp, io, outcome);
  addReset(lrp, io, outcome);
  addRemove(lrp, io, outcome);
}

function addList(lrp: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(lrp.command('list').alias('ls').description('list LRPs')).option(
    '--domain <domain>',
    'only of this domain',
  );
  examples(
    command,
    ['rivera lrp list', 'what should be up, and how much of it is'],
    ['rivera lrp list --json | jq -r .processGuid', 'names'],
  );
  perform<{ domain?: string }>(command, io, outcome, async (session, _, { domain = '' }) => {
    const { out, signal } = session;
    const client = await session.client();
    const tallies = await tally(client, domain, signal);
    const rows: string[][] = [];
    for await (const item of client.desiredLrps.list({ domain }, { signal })) {
      const tallied = tallies.get(item.processGuid) ?? { running: 0, last: -1, trouble: '' };
      if (out.json) await out.line({ ...toObject(DesiredLrp.toJSON(item)), runningInstances: tallied.running });
      else rows.push(row(item, tallied));
    }
    if (out.json) return undefined;
    if (rows.length === 0) await out.note('No LRPs found.\n');
    else
      await out.data(renderTable(['name', 'domain', { title: 'instances', align: 'right' }, 'age', 'trouble'], rows));
    return undefined;

    function row(item: DesiredLrp, { running, trouble }: Tally): string[] {
      const instances = `${running}/${item.instances}`;
      const colour = running >= item.instances ? out.colours.green : out.colours.yellow;
      return [item.processGuid, item.domain, colour(instances), ageOf(item.createdAt, io.now()), out.fit(trouble, 70)];
    }
  });
}

interface Tally {
  /** Slots of which an instance runs. */
  running: number;
  /** The last of them. */
  last: number;
  /** Of the first instance that has some. */
  trouble: string;
}

async function tally(client: RiveraClient, domain: string, signal: AbortSignal): Promise<Map<string, Tally>> {
  const tallies = new Map<string, Tally>();
  for await (const actual of client.actualLrps.list({ domain }, { signal })) {
    const name = actual.key?.processGuid ?? '';
    const tallied = tallies.get(name) ?? { running: 0, last: -1, trouble: '' };
    // Records come in order of index; a slot whose instance moves has several, and serves once.
    const index = actual.key?.index ?? 0;
    if (actual.state === ActualLrpState.RUNNING) {
      if (index !== tallied.last) tallied.running++;
      tallied.last = index;
    } else tallied.trouble ||= troubleOf(actual);
    tallies.set(name, tallied);
  }
  return tallies;
}

function addShow(lrp: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    lrp.command('show').argument('<name>', 'of the LRP').description('show one LRP and its instances'),
  );
  examples(command, ['rivera lrp show hello', 'state, address and troubles of each instance']);
  perform(command, io, outcome, async (session, [name = '']) => {
    const desired = await withSuggestion(session, 'lrp', name, (client) => client.desiredLrps.get(name));
    const actual = await instancesOf(session, name);
    if (session.out.json) {
      await session.out.line({
        desiredLrp: DesiredLrp.toJSON(desired),
        actualLrps: actual.map((item) => ActualLrp.toJSON(item)),
      });
    } else {
      await session.out.data(`${describeLrp(desired, actual, io.now())}\n${instanceTable(session, actual)}`);
    }
    return undefined;
  });
}

async function instancesOf(session: Session, name: string): Promise<ActualLrp[]> {
  const client = await session.client();
  const instances: ActualLrp[] = [];
  for await (const item of client.actualLrps.list({ processGuids: [name] }, { signal: session.signal }))
    instances.push(item);
  return instances;
}

function describeLrp(lrp: DesiredLrp, actual: readonly ActualLrp[], nowMs: number): string {
  const running = new Set(actual.filter((item) => item.state === ActualLrpState.RUNNING).map((item) => item.key?.index))
    .size;
  const { container } = lrp;
  return renderPairs([
    ['name', lrp.processGuid],
    ['domain', lrp.domain],
    ['instances', `${running}/${lrp.instances}`],
    ['created', lrp.createdAt && `${formatTimestamp(lrp.createdAt)} (${ageOf(lrp.createdAt, nowMs)} ago)`],
    ['root filesystem', container?.rootFs],
    ['memory', container && `${container.memoryMb} MiB`],
    ['disk', container && `${container.diskMb} MiB`],
    ['ports', lrp.ports.join(', ')],
    [
      'routes',
      Object.entries(lrp.routes)
        // That of SSH may hold keys and passwords.
        .map(([router, routes]) => (router in SSH_ROUTE ? `${router}: set` : `${router}: ${oneLine(routes)}`))
        .join('; '),
    ],
    ['annotation', oneLine(lrp.annotation)],
  ]);
}

/** One row per instance. */
export function instanceTable(session: Pick<Session, 'out' | 'io'>, instances: readonly ActualLrp[]): string {
  if (instances.length === 0) return 'There are no instances.\n';
  const now = session.io.now();
  const rows = instances.map((lrp) => [
    `#${lrp.key?.index ?? 0}`,
    coloured(instanceState(lrp), session.out.colours),
    ageOf(lrp.since, now),
    lrp.cellId,
    addressesOf(lrp)
      .map(({ address }) => address)
      .join(', '),
    lrp.crashCount === 0 ? '' : String(lrp.crashCount),
    session.out.fit(troubleOf(lrp), 100),
  ]);
  return renderTable(['', 'state', 'since', 'cell', 'address', 'crashes', 'details'], rows);
}

function addScale(lrp: Command, io: Io, outcome: Outcome): void {
  const command = withSettling(
    withConnection(
      lrp
        .command('scale')
        .argument('<name>', 'of the LRP')
        .argument('<instances>', 'how many to keep up', parseCount('the number of instances', 0, 10_000))
        .description('change how many instances are kept up'),
    ),
  );
  examples(
    command,
    ['rivera lrp scale hello 3', 'and wait until three run'],
    ['rivera lrp scale hello 0', 'stop it, keep its recipe'],
  );
  perform<WaitingToRun>(command, io, outcome, async (session, [name = '', wanted = ''], options) => {
    const instances = Number(wanted);
    const updated = await withSuggestion(session, 'lrp', name, (client) =>
      client.desiredLrps.update(name, { instances }),
    );
    if (!options.wait) {
      if (session.out.json) await session.out.line(DesiredLrp.toJSON(updated));
      return undefined;
    }
    const settleMs = settlingOf(updated, options);
    const running = await untilRunning(session, name, { instances, settleMs, timeoutMs: options.waitTimeout });
    await showRunning(session, name, running);
    return undefined;
  });
}

function addRestart(lrp: Command, io: Io, outcome: Outcome): void {
  const command = withWaiting(
    withConnection(
      lrp.command('restart').argument('<name>', 'of the LRP').description('replace the instances, one after the other'),
    ),
  ).option('-i, --index <n>', 'only this instance', parseCount('--index', 0, 9_999));
  examples(
    command,
    ['rivera lrp restart hello', 'all of them'],
    ['rivera lrp restart hello --index 1', 'only the second'],
    ['rivera lrp reset hello', 'tries those again that crashed and have no container'],
  );
  perform<Waiting & { index?: number }>(command, io, outcome, async (session, [name = ''], options) => {
    await withSuggestion(session, 'lrp', name, () => restart(session, name, options));
    return undefined;
  });
}

function addRemove(lrp: Command, io: Io, outcome: Outcome): void {
  const command = withWaiting(
    withConnection(
      lrp.command('rm').argument('<name...>', 'of the LRPs').description('forget LRPs and stop their instances'),
    ),
    { until: 'the instances are gone' },
  );
  examples(
    command,
    ['rivera lrp rm hello', 'and wait until its instances are gone'],
    ['rivera lrp rm hello web --no-wait', 'both; their instances stop by themselves'],
  );
  perform<Waiting>(command, io, outcome, async (session, names, options) => {
    for (const name of names) await withSuggestion(session, 'lrp', name, (client) => client.desiredLrps.remove(name));
    if (options.wait) await untilGone(session, names, options.waitTimeout);
    return undefined;
  });
}

function toObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
