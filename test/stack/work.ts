import { type ActualLrp, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { TaskDefinition } from '@rivera/gen/rivera/bbs/v1/task';
import { Action } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import type { RiveraClient } from '@rivera/sdk/client';

/** A process in the container's shell. */
export function shell(script: string, user = 'root'): Action {
  return Action.fromPartial({
    action: { $case: 'runAction', value: { path: '/bin/sh', args: ['-c', script], user } },
  });
}

export function container(extra: Partial<ContainerSpec> = {}): ContainerSpec {
  return ContainerSpec.fromPartial({
    rootFs: 'preloaded:busybox',
    memoryMb: 64,
    diskMb: 32,
    logSource: 'APP',
    ...extra,
  } as never);
}

export function task(
  script: string,
  extra: Partial<TaskDefinition> = {},
  spec: Partial<ContainerSpec> = {},
): TaskDefinition {
  return TaskDefinition.fromPartial({
    container: container({ logGuid: 'task-log', ...spec }),
    action: shell(script),
    ...extra,
  } as never);
}

/** A web server that says which instance it is. */
export function webApp(processGuid: string, instances: number, extra: Partial<DesiredLrp> = {}): DesiredLrp {
  const script =
    'mkdir -p /www && echo "$INSTANCE_GUID $INSTANCE_INDEX" > /www/index.html && exec httpd -f -p 8080 -h /www';
  return DesiredLrp.fromPartial({
    processGuid,
    domain: 'test',
    instances,
    container: container({ logGuid: processGuid }),
    action: shell(script),
    ports: [8080],
    checkDefinition: { checks: [{ probe: { $case: 'tcpCheck', value: { port: 8080 } } }] },
    ...extra,
  } as never);
}

/** What simulated cells run for ever. */
export function simulatedLrp(processGuid: string, instances: number, memoryMb: number): DesiredLrp {
  return DesiredLrp.fromPartial({
    processGuid,
    domain: 'sim',
    instances,
    container: container({ logGuid: processGuid, memoryMb, diskMb: 1 }),
    action: Action.fromPartial({
      action: { $case: 'runAction', value: { path: '/sim/run', args: [], user: 'root' } },
    } as never),
    ports: [8080],
  } as never);
}

export async function instancesOf(client: RiveraClient, processGuid: string): Promise<ActualLrp[]> {
  const found: ActualLrp[] = [];
  for await (const instance of client.actualLrps.list({ processGuids: [processGuid] })) found.push(instance);
  return found;
}

export const isRunning = (instance: ActualLrp) => instance.state === ActualLrpState.RUNNING;

/** Where an instance's port 8080 is reached. */
export function urlOf(instance: ActualLrp): string {
  const port = instance.netInfo?.ports.find((each) => each.containerPort === 8080)?.hostPort;
  return `http://${instance.netInfo?.address}:${port}/`;
}

/** The body of a page. @throws when it does not answer in time */
export async function get(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000), headers: { connection: 'close' } });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return (await response.text()).trim();
}
