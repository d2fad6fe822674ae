import { failpoint } from '@rivera/kit/failpoint';
import { noRoomAt } from '../../../kernel/durable.js';
import { GardenError, type GardenProcess } from '../../garden.js';
import { prepareMoves } from '../cgroups/cgroup-moves.js';
import { MemoryShares, NO_MEMBERSHIP } from '../cgroups/memory-shares.js';
import type { ContainerParts } from '../container-parts.js';
import { endStrays, type LaunchedIn } from './launch-end.js';
import { OciProcess } from './process.js';
import { hasBridge } from './process-input.js';
import {
  launch,
  type ProcessRecord,
  processPlaces,
  processUuid,
  recordedProcesses,
  recordLaunch,
} from './supervisor.js';

const PROCESS_ID = /^[A-Za-z0-9._-]{1,128}$/;

/** The processes of a container that outlive the agent: each has a supervisor, and a record before it is launched. */
export class LaunchedProcesses {
  private readonly all = new Map<string, OciProcess>();
  private readonly launches = new Set<Promise<OciProcess>>();
  private readonly shares: MemoryShares;
  private readonly launchedIn: LaunchedIn;

  constructor(private readonly parts: ContainerParts) {
    const { cgroup, places, init, cell } = parts;
    this.shares = new MemoryShares(cgroup);
    this.launchedIn = { container: places, cgroup, init, clock: cell.settings.clock };
  }

  /** Takes up those of an earlier life, and ends what nobody could note at the time. */
  async adopt(): Promise<void> {
    for (const record of await recordedProcesses(this.parts.places)) this.follow(record);
    await endStrays(this.launchedIn);
  }

  get(id: string): GardenProcess | undefined {
    return this.all.get(id);
  }

  list(): { id: string; ended: boolean }[] {
    return [...this.all.values()].map(({ id, hasEnded }) => ({ id, ended: hasEnded }));
  }

  /** @throws GardenError when no such process can be launched, whatever it is to run */
  assertPossible(id: string, input: ProcessRecord['input']): void {
    if (!PROCESS_ID.test(id) || id.startsWith('.'))
      throw new GardenError('process-failed', `process id '${id}' is not 1..128 of A-Z a-z 0-9 . _ -`);
    if (input && !hasBridge())
      throw new GardenError('unsupported', 'processes take input only where socat is installed');
    if (this.all.has(id)) throw new GardenError('process-exists', `process '${id}' exists already`);
  }

  /**
   * Launches a process, and resolves once it runs.
   * @param spec OCI process specification
   * @throws GardenError when it does not; then it never will
   */
  async start(wanted: Pick<ProcessRecord, 'id' | 'input' | 'memoryShare'>, spec: object): Promise<GardenProcess> {
    const { cell, places } = this.parts;
    const { cellId, clock, runtimeTimeoutMs } = cell.settings;
    const uuid = processUuid({ cellId, handle: places.handle, id: wanted.id });
    const launching = this.launch({ ...wanted, uuid, launchedAtMs: clock.now() }, spec);
    this.launches.add(launching);
    const process = await launching.finally(() => this.launches.delete(launching));
    const { failure } = await process.started(runtimeTimeoutMs);
    if (failure) {
      // Told to have failed, it must not run after all.
      await process.abandon();
      const { memoryShare } = wanted;
      const starved = memoryShare && (await this.shares.oomKills(memoryShare.name)) > 0;
      throw new GardenError('process-failed', starved ? `${failure} (out of memory)` : failure);
    }
    failpoint('cell.process-started');
    return process;
  }

  /** Waits for those that are just being launched. */
  async launched(): Promise<void> {
    await Promise.allSettled(this.launches);
  }

  /** Supervisors that still run. */
  async supervisors(): Promise<number[]> {
    const pids = await Promise.all([...this.all.values()].map((process) => process.supervisor()));
    return pids.filter((pid) => pid !== undefined);
  }

  /** Tells those that wait for processes how these ended, now that the container is being destroyed. */
  async settle(): Promise<void> {
    await Promise.all([...this.all.values()].map((process) => process.settle('its container was destroyed')));
  }

  /** Lets go of them. */
  async close(): Promise<void> {
    await Promise.all([...this.all.values()].map((process) => process.close()));
  }

  private async launch(record: ProcessRecord, spec: object): Promise<OciProcess> {
    const { cell, places: container, runtime, rootId } = this.parts;
    const places = processPlaces(container, record.id);
    try {
      const { memoryShare } = record;
      const membership = memoryShare ? await this.shares.prepare(memoryShare, runtime) : NO_MEMBERSHIP;
      void prepareMoves();
      await recordLaunch(places, record, spec);
      failpoint('cell.process-recorded');
      const launching = launch({
        places,
        uuid: record.uuid,
        handle: container.handle,
        runtime: { path: runtime.path, root: cell.places.runtimeRoot },
        owner: rootId,
        outputLimitBytes: cell.settings.outputLimitBytes,
        membership,
        input: record.input,
      });
      // Its supervisor may go on without having detached.
      await launching.catch(async (error: unknown) => {
        await this.follow(record).abandon();
        throw new Error(`${(error as Error).message}${await noRoomAt(places.dir)}`, { cause: error });
      });
    } catch (cause) {
      if (cause instanceof GardenError) throw cause;
      throw new GardenError('process-failed', cause instanceof Error ? cause.message : String(cause), { cause });
    }
    return this.follow(record);
  }

  private follow(record: ProcessRecord): OciProcess {
    const { cell, places: container, grace } = this.parts;
    const { log, runtimeTimeoutMs: startTimeoutMs } = cell.settings;
    const places = processPlaces(container, record.id);
    const use = () => grace.begin();
    const { shares, launchedIn } = this;
    const oomKills = () => shares.oomKills(record.memoryShare?.name);
    const process = new OciProcess({ ...record, places, launchedIn, oomKills, log, use, startTimeoutMs });
    this.all.set(record.id, process);
    return process;
  }
}
