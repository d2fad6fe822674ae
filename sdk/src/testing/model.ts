import { ActualLrp, ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { ActualLrpServiceService } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { Cell } from '@rivera/gen/rivera/bbs/v1/cell';
import { CellServiceService } from '@rivera/gen/rivera/bbs/v1/cell_service';
import type { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { DesiredLrpServiceService } from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import type { Event } from '@rivera/gen/rivera/bbs/v1/event';
import { EventServiceService, WatchResponse } from '@rivera/gen/rivera/bbs/v1/event_service';
import { Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { TaskServiceService } from '@rivera/gen/rivera/bbs/v1/task_service';
import type { FakeServer } from './fake-server.js';

/** Makes a fake server complete Tasks and run LRPs at once, so that whole programs can be run against it. */
export function actAsRivera(server: FakeServer): { tasks: Map<string, Task>; lrps: Map<string, DesiredLrp> } {
  const tasks = new Map<string, Task>();
  const lrps = new Map<string, DesiredLrp>();
  const pageOf = { nextPageToken: '', revision: 1 };

  server.unary(TaskServiceService.desireTask, (request) => {
    const task = Task.fromPartial({ ...request, state: TaskState.COMPLETED, result: 'hello from c1\n' });
    tasks.set(task.taskGuid, task);
    return { task };
  });
  server.unary(TaskServiceService.getTask, ({ taskGuid }) => ({ task: tasks.get(taskGuid) }));
  server.unary(TaskServiceService.listTasks, () => ({ tasks: [...tasks.values()], ...pageOf }));
  server.unary(TaskServiceService.resolveTask, ({ taskGuid }) => ({ task: tasks.get(taskGuid) }));
  server.unary(TaskServiceService.deleteTask, ({ taskGuid }) => {
    tasks.delete(taskGuid);
    return {};
  });
  server.unary(DesiredLrpServiceService.desireLrp, ({ desiredLrp }) => {
    if (desiredLrp) lrps.set(desiredLrp.processGuid, desiredLrp);
    return { desiredLrp };
  });
  server.unary(DesiredLrpServiceService.listDesiredLrps, () => ({ desiredLrps: [...lrps.values()], ...pageOf }));
  server.unary(DesiredLrpServiceService.removeDesiredLrp, ({ processGuid }) => {
    lrps.delete(processGuid);
    return {};
  });
  server.unary(ActualLrpServiceService.listActualLrps, ({ processGuids }) => ({
    actualLrps: instancesOf(processGuids.flatMap((guid) => lrps.get(guid) ?? [])),
    ...pageOf,
  }));
  server.unary(CellServiceService.listCells, () => ({
    cells: [Cell.fromPartial({ presence: { cellId: 'c1', zone: 'z1' }, lrpInstances: 2 })],
    ...pageOf,
  }));
  server.streaming(EventServiceService.watch, (call) => {
    const records = [
      ...[...tasks.values()].map((value) => ({ $case: 'task', value }) as const),
      ...[...lrps.values()].map((value) => ({ $case: 'desiredLrp', value }) as const),
      ...instancesOf([...lrps.values()]).map((value) => ({ $case: 'actualLrp', value }) as const),
    ];
    const snapshotRecords = records.map((record) => ({ record }));
    call.write(WatchResponse.fromPartial({ snapshotRecords, snapshotComplete: true, resumeToken: 'k1', revision: 1 }));
    const event: Event['event'] = { $case: 'taskCreated', value: { task: Task.fromPartial({ taskGuid: 'later' }) } };
    call.write(WatchResponse.fromPartial({ events: [{ revision: 2, event }], resumeToken: 'k2', revision: 2 }));
    return new Promise((resolve) => call.on('cancelled', resolve));
  });
  return { tasks, lrps };
}

function instancesOf(lrps: DesiredLrp[]): ActualLrp[] {
  return lrps.flatMap(({ processGuid, domain, instances }) =>
    Array.from({ length: instances }, (_, index) =>
      ActualLrp.fromPartial({
        ...{ key: { processGuid, domain, index }, instanceGuid: `i${index}`, cellId: 'c1' },
        ...{ state: ActualLrpState.RUNNING, presence: ActualLrpPresence.ORDINARY },
        netInfo: { address: '10.0.0.1', ports: [{ containerPort: 8080, hostPort: 61_000 + index }] },
      }),
    ),
  );
}
