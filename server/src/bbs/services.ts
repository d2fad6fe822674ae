import { ActualLrpServiceService } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { CellServiceService } from '@rivera/gen/rivera/bbs/v1/cell_service';
import { DesiredLrpServiceService } from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { DomainServiceService } from '@rivera/gen/rivera/bbs/v1/domain_service';
import { EventServiceService } from '@rivera/gen/rivera/bbs/v1/event_service';
import { PlacementServiceService } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { CellSessionServiceService } from '@rivera/gen/rivera/bbs/v1/session_service';
import { TaskServiceService } from '@rivera/gen/rivera/bbs/v1/task_service';
import type { GrpcHost } from '@rivera/kit/grpc/host';
import type { Role } from '@rivera/kit/tls/identity';
import { actualLrpService } from './api/actual-lrp-service.js';
import { cellService } from './api/cell-service.js';
import { desiredLrpService } from './api/desired-lrp-service.js';
import { domainService } from './api/domain-service.js';
import { eventService } from './api/event-service.js';
import { placementService } from './api/placement-service.js';
import { sessionService } from './api/session-service.js';
import { taskService } from './api/task-service.js';
import type { CurrentTerm } from './term.js';

const READERS: Role[] = ['client', 'reader', 'server'];
const WRITERS: Role[] = ['client', 'server'];

/** Who may call what of the BBS, and the names that health is asked for. */
export function addBbsServices(host: Pick<GrpcHost, 'add'>, term: CurrentTerm): string[] {
  host.add(TaskServiceService, taskService(term), {
    default: WRITERS,
    methods: { getTask: READERS, listTasks: READERS },
  });
  host.add(DesiredLrpServiceService, desiredLrpService(term), {
    default: WRITERS,
    methods: { getDesiredLrp: READERS, listDesiredLrps: READERS },
  });
  host.add(ActualLrpServiceService, actualLrpService(term), {
    default: READERS,
    methods: { retireActualLrp: WRITERS, moveActualLrp: WRITERS },
  });
  host.add(DomainServiceService, domainService(term), { default: WRITERS, methods: { listDomains: READERS } });
  host.add(CellServiceService, cellService(term), {
    default: READERS,
    methods: { evacuateCell: WRITERS, declareCellMissing: WRITERS },
  });
  host.add(EventServiceService, eventService(term), { default: READERS });
  host.add(CellSessionServiceService, sessionService(term), { default: ['cell'] });
  host.add(PlacementServiceService, placementService(term), { default: ['server'] });
  return ['Task', 'DesiredLrp', 'ActualLrp', 'Domain', 'Cell', 'Event', 'CellSession', 'Placement'].map(
    (name) => `rivera.bbs.v1.${name}Service`,
  );
}
