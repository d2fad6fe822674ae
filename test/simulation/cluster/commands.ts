import { ActualLrpServiceService } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { CellServiceService } from '@rivera/gen/rivera/bbs/v1/cell_service';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { DesiredLrpServiceService } from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { DomainServiceService } from '@rivera/gen/rivera/bbs/v1/domain_service';
import { TaskDefinition } from '@rivera/gen/rivera/bbs/v1/task';
import { TaskServiceService } from '@rivera/gen/rivera/bbs/v1/task_service';
import { Action } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import type { Chance } from './chance.js';
import type { Client, Outcome } from './client.js';
import type { Coverage } from './coverage.js';
import type { Promises } from './promises.js';

export const DOMAINS = ['apps', 'jobs'] as const;
const PROCESS_GUIDS = ['p0', 'p1', 'p2', 'p3'] as const;
/** Of every container, so that a cell's size says how many it holds. */
export const CONTAINER_MB = 100;

export interface CommandsOptions {
  readonly client: Client;
  readonly coverage: Coverage;
  readonly promises: Promises;
  readonly chance: Chance;
  readonly cellIds: readonly string[];
  /** Most instances that an LRP may have. */
  readonly mostInstances: number;
  readonly onLine: (text: string) => void;
}

const container = (logGuid: string) =>
  ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox', memoryMb: CONTAINER_MB, diskMb: 1, logGuid });
const action = () =>
  Action.fromPartial({ action: { $case: 'runAction', value: { path: '/bin/work', args: [], user: 'root' } } } as never);

/** What clients do, each with its promise. */
export class Commands {
  private tasks = 0;
  private changes = 0;

  constructor(private readonly options: CommandsOptions) {}

  /** An LRP is desired, changed or removed: what its state allows, and now and then what it doesn't. */
  lrp(): void {
    const { promises, chance, mostInstances } = this.options;
    const guid = chance.pick(PROCESS_GUIDS);
    const { known, facts } = promises.lrp(guid);
    if (!known) return;
    const instances = chance.between(0, mostInstances);
    const annotation = `change ${this.changes++}`;
    if (facts === undefined) {
      const after = { instances, annotation };
      this.ofLrp(guid, after, DesiredLrpServiceService.desireLrp.path, { desiredLrp: this.definition(guid, after) });
    } else if (chance.percent(25)) this.remove(guid);
    else {
      const routes = chance.percent(30) ? routesOf(annotation) : undefined;
      const request = { processGuid: guid, update: { instances, annotation, routes, metricTags: undefined } };
      this.ofLrp(guid, { instances, annotation }, DesiredLrpServiceService.updateDesiredLrp.path, request);
    }
  }

  /** Removes an LRP that is there. @returns whether there was one */
  removeSomeLrp(): boolean {
    const { promises, chance } = this.options;
    const there = PROCESS_GUIDS.filter((guid) => promises.lrp(guid).known && promises.lrp(guid).facts !== undefined);
    if (there.length === 0) return false;
    this.remove(chance.pick(there));
    return true;
  }

  desireTask(): void {
    const { promises, chance } = this.options;
    const taskGuid = `t${this.tasks++}`;
    promises.openTask(taskGuid);
    const definition = TaskDefinition.fromPartial({
      container: container(taskGuid),
      action: action(),
      resultFile: '/result',
    });
    const request = { taskGuid, domain: chance.pick(DOMAINS), definition };
    this.say(`desire task ${taskGuid}`, TaskServiceService.desireTask.path, request, ({ kind }) => {
      if (kind === 'done') promises.taskIs(taskGuid, 'there');
      else promises.taskDecided(taskGuid);
    });
  }

  cancelTask(): void {
    const taskGuid = this.someTask();
    if (taskGuid === undefined) return;
    this.say(`cancel task ${taskGuid}`, TaskServiceService.cancelTask.path, { taskGuid }, () => {});
  }

  /** Takes the result, and forgets the Task. */
  takeTask(): void {
    const { promises } = this.options;
    const taskGuid = this.someTask();
    if (taskGuid === undefined) return;
    this.say(`resolve task ${taskGuid}`, TaskServiceService.resolveTask.path, { taskGuid }, ({ kind }) => {
      if (kind !== 'done' || !promises.tasksThere().includes(taskGuid)) return;
      promises.openTask(taskGuid);
      this.say(`delete task ${taskGuid}`, TaskServiceService.deleteTask.path, { taskGuid }, (outcome) => {
        if (outcome.kind === 'done') promises.taskIs(taskGuid, 'gone');
        else promises.taskDecided(taskGuid);
      });
    });
  }

  /** Somebody vouches for a domain for a while, or for ever. */
  domain(forEver = this.options.chance.percent(20)): void {
    const { chance } = this.options;
    for (const domain of forEver ? DOMAINS : [chance.pick(DOMAINS)]) {
      const seconds = forEver ? 0 : chance.between(1, 60);
      const request = { domain, ttl: { seconds, nanos: 0 } };
      this.say(`domain ${domain} for ${seconds} s`, DomainServiceService.upsertDomain.path, request, () => {});
    }
  }

  retireInstance(): void {
    const { chance } = this.options;
    const [processGuid, index] = [chance.pick(PROCESS_GUIDS), chance.between(0, 2)];
    const request = { processGuid, index, instanceGuid: '' };
    this.say(`retire ${processGuid}/${index}`, ActualLrpServiceService.retireActualLrp.path, request, () => {});
  }

  evacuateCell(): void {
    const cellId = this.options.chance.pick(this.options.cellIds);
    this.say(`evacuate ${cellId}`, CellServiceService.evacuateCell.path, { cellId }, ({ kind }) => {
      if (kind === 'done') this.options.coverage.note('cell evacuated');
    });
  }

  /** An operator says that a cell is gone, which is refused while it is heard of. */
  declareCellMissing(): void {
    const cellId = this.options.chance.pick(this.options.cellIds);
    const { path } = CellServiceService.declareCellMissing;
    this.say(`declare ${cellId} missing`, path, { cellId }, () => {});
  }

  private remove(processGuid: string): void {
    this.ofLrp(processGuid, undefined, DesiredLrpServiceService.removeDesiredLrp.path, { processGuid });
  }

  private definition(processGuid: string, { instances, annotation }: { instances: number; annotation: string }) {
    return DesiredLrp.fromPartial({
      processGuid,
      domain: this.options.chance.pick(DOMAINS),
      instances,
      annotation,
      container: container(processGuid),
      action: action(),
    } as never);
  }

  private ofLrp(
    guid: string,
    after: { instances: number; annotation: string } | undefined,
    path: string,
    request: unknown,
  ): void {
    const { promises } = this.options;
    const before = promises.lrp(guid).facts;
    promises.openLrp(guid, after);
    const what = after === undefined ? `remove ${guid}` : `${guid} ×${after.instances}, ${after.annotation}`;
    this.say(what, path, request, ({ kind }) => {
      if (kind === 'done') promises.lrpIs(guid, after);
      else if (kind === 'refused') promises.lrpIs(guid, before);
      else promises.lrpDecided(guid);
    });
  }

  private someTask(): string | undefined {
    const there = this.options.promises.tasksThere();
    return there.length === 0 ? undefined : this.options.chance.pick(there);
  }

  private say(what: string, path: string, request: unknown, decided: (outcome: Outcome) => void): void {
    const { client, onLine } = this.options;
    onLine(`client: ${what}`);
    void client.command(path, request, (outcome) => {
      onLine(`client: ${what}: ${outcome.kind === 'refused' ? outcome.reason : outcome.kind}`);
      decided(outcome);
    });
  }
}

function routesOf(text: string): { routes: Record<string, string> } {
  return { routes: { 'internal-router': JSON.stringify([{ hostname: `${text.replace(' ', '-')}.internal` }]) } };
}
