import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfPresent } from '../../../kernel/durable.js';
import { processFacts } from '../../../kernel/proc.js';
import { type ExecSpec, GardenError, type InteractiveProcess } from '../../garden.js';
import type { ContainerParts } from '../container-parts.js';
import { type PersonsProcess, startExec } from './exec.js';
import { signalProcess } from './signals.js';

/** The processes of a container that people use: children of the agent, which end with it. */
export class PersonsProcesses {
  private readonly all = new Set<PersonsProcess>();
  /** On their way. */
  private starting = 0;
  private closed = false;

  constructor(private readonly parts: ContainerParts) {}

  /** Ends those of an earlier life. */
  async endForgotten(): Promise<void> {
    const { places, cgroup } = this.parts;
    for (const name of await readdir(places.execs)) {
      const path = join(places.execs, name);
      const pid = name.endsWith('.pid') ? Number(await readIfPresent(path)) : 0;
      const facts = pid > 0 && (await cgroup.pids()).includes(pid) ? processFacts(pid) : undefined;
      if (facts) await signalProcess(cgroup, facts, 'SIGKILL');
      await rm(path, { force: true });
    }
  }

  /**
   * Starts one; the container is in use until it ends.
   * @param spec OCI process specification
   * @throws GardenError `process-failed` when there are too many, or it can't be started
   */
  async start(spec: object, terminal: ExecSpec['terminal']): Promise<InteractiveProcess> {
    const { cell, runtime, places, cgroup, grace } = this.parts;
    const { maxExecs } = cell.settings;
    if (this.all.size + this.starting >= maxExecs)
      throw new GardenError('process-failed', `container '${places.handle}' has ${maxExecs} such processes already`);
    this.starting++;
    const started = startExec({ cell, runtime, places, cgroup, spec, ...(terminal ? { terminal } : {}) });
    const person = await started.finally(() => {
      this.starting--;
    });
    this.all.add(person);
    const release = grace.begin();
    void person.exited.then(() => {
      this.all.delete(person);
      release();
    });
    if (this.closed) person.kill();
    return person;
  }

  /** Ends them, and those that are on their way once they are there. */
  async close(): Promise<void> {
    this.closed = true;
    for (const person of this.all) person.kill();
    await Promise.all([...this.all].map((person) => person.exited));
  }
}
