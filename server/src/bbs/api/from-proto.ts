import { createHash } from 'node:crypto';
import type { Duration } from '@rivera/gen/google/protobuf/duration';
import { DesiredLrp, UpdateStrategy } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';
import { TaskDefinition } from '@rivera/gen/rivera/bbs/v1/task';
import type { DesireTaskRequest } from '@rivera/gen/rivera/bbs/v1/task_service';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import type { NewDesiredLrp } from '../core/desired-lrp.js';
import type { NewTask } from '../core/task.js';

/** Valid requests as the core wants them: what scheduling needs apart from the payload. */

export function taskFromProto(request: DesireTaskRequest): NewTask {
  const definition = request.definition ?? TaskDefinition.fromPartial({});
  const container = canonicalContainer(definition.container);
  const payload = TaskDefinition.encode({ ...definition, container }).finish();
  return {
    guid: request.taskGuid,
    domain: request.domain,
    requirements: requirementsOf(container, false),
    annotation: definition.annotation,
    callbackUrl: definition.completionCallbackUrl,
    definition: payload,
    definitionDigest: sha256(payload),
  };
}

export function desiredLrpFromProto(lrp: DesiredLrp): NewDesiredLrp {
  const container = canonicalContainer(lrp.container);
  const routes = sorted(lrp.routes);
  const payload = DesiredLrp.encode({
    ...lrp,
    container,
    routes,
    ports: [...new Set(lrp.ports)],
    modificationTag: undefined,
    createdAt: undefined,
    requirements: undefined,
  }).finish();
  return {
    processGuid: lrp.processGuid,
    domain: lrp.domain,
    instances: lrp.instances,
    logGuid: container.logGuid,
    requirements: requirementsOf(container, lrp.ports.length > 0),
    routes,
    annotation: lrp.annotation,
    metricTags: container.metricTags,
    updateStrategy: lrp.updateStrategy === UpdateStrategy.RECREATE ? UpdateStrategy.RECREATE : UpdateStrategy.ROLLING,
    restartPolicy: lrp.restartPolicy,
    definitionDigest: sha256(payload),
    runInfo: payload,
  };
}

/** The run info with other image credentials. */
export function withImageCredentials(runInfo: Uint8Array, username: string, password: string): Uint8Array {
  const lrp = DesiredLrp.decode(runInfo);
  const container = lrp.container ?? ContainerSpec.fromPartial({});
  return DesiredLrp.encode({
    ...lrp,
    container: { ...container, imageUsername: username, imagePassword: password },
  }).finish();
}

/** Whole milliseconds, rounded up, as 0 means something else; 0 when it is not set. */
export function durationMs(duration: Duration | undefined): number {
  return duration === undefined ? 0 : duration.seconds * 1000 + Math.ceil(duration.nanos / 1e6);
}

export function durationOf(ms: number): Duration {
  return { seconds: Math.floor(ms / 1000), nanos: Math.round((ms % 1000) * 1e6) };
}

function requirementsOf(container: ContainerSpec, proxied: boolean): WorkRequirements {
  return {
    memoryMb: container.memoryMb,
    diskMb: container.diskMb,
    maxPids: container.maxPids,
    rootFs: container.rootFs,
    placementTags: [...new Set(container.placementTags)],
    volumeDrivers: [...new Set(container.volumeMounts.map((mount) => mount.driver))],
    proxied,
  };
}

/** Equal requests are to have equal bytes, whatever order their maps came in. */
function canonicalContainer(container: ContainerSpec | undefined): ContainerSpec {
  const spec = container ?? ContainerSpec.fromPartial({});
  return {
    ...spec,
    metricTags: sorted(spec.metricTags),
    network: spec.network && { ...spec.network, properties: sorted(spec.network.properties) },
  };
}

function sorted<Value>(map: Readonly<Record<string, Value>>): Record<string, Value> {
  const entries = Object.entries(map);
  if (entries.length > 1) entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries);
}

function sha256(payload: Uint8Array): string {
  return createHash('sha256').update(payload).digest('hex');
}
