import type { Readable } from 'node:stream';
import type { Container } from '@rivera/gen/rivera/garden/v1/container';
import { assertEgressRules, assertPortRequest } from '../../garden/egress-rule.js';
import {
  type ContainerInfo,
  type ContainerStatus,
  type EgressRule,
  type ExecSpec,
  type GardenContainer,
  GardenError,
  type GardenLimits,
  type GardenMetrics,
  type GardenProcess,
  type GardenSpec,
  type InteractiveProcess,
  type PortMapping,
  type ProcessSpec,
} from '../../garden/garden.js';
import { assertMemoryShare } from '../../garden/memory-share.js';
import { propertyOf, withGraceTime, withoutProperty, withProperty } from '../../garden/properties.js';
import { durationOf, infoFrom, limitsOf, metricsFrom, NO_LIMITS, rulesTo, specFrom, statusFrom } from '../messages.js';
import type { Remote } from './remote.js';
import { remoteExec } from './remote-exec.js';
import { sendTar, tarOf } from './remote-files.js';
import { RemoteProcess, startProcess } from './remote-process.js';

/** Stopping may take its grace and a while. */
const STOP_SLACK_MS = 30_000;

/** A container on the other side. */
export class RemoteContainer implements GardenContainer {
  readonly handle: string;
  private own: GardenSpec;
  private seen: Container;
  private readonly processes = new Map<string, RemoteProcess>();

  constructor(
    private readonly remote: Remote,
    container: Container,
  ) {
    this.seen = container;
    this.own = specOf(container);
    this.handle = this.own.handle;
    this.saw(container);
  }

  get spec(): GardenSpec {
    return this.own;
  }

  /** It was looked at again. */
  saw(container: Container): void {
    this.seen = container;
    this.own = specOf(container);
    for (const { id } of container.processes) this.process(id);
  }

  info(): ContainerInfo {
    return infoFrom(this.seen);
  }

  async status(): Promise<ContainerStatus> {
    const { client, ask } = this.remote;
    const { container } = await ask(client.getContainer, { handle: this.handle }, { otherwise: 'unavailable' });
    if (!container) throw new GardenError('unavailable', 'the service shows no container');
    this.saw(container);
    return statusFrom(container);
  }

  property(name: string): string {
    return propertyOf(this.own, name);
  }

  async setProperty(name: string, value: string): Promise<void> {
    const { client, ask } = this.remote;
    await ask(client.setProperty, { handle: this.handle, name, value }, { otherwise: 'invalid' });
    this.own = withProperty(this.own, name, value);
  }

  async removeProperty(name: string): Promise<void> {
    const { client, ask } = this.remote;
    await ask(client.removeProperty, { handle: this.handle, name }, { otherwise: 'invalid' });
    this.own = withoutProperty(this.own, name);
  }

  async limits(): Promise<GardenLimits> {
    const { client, ask } = this.remote;
    const { limits } = await ask(client.getLimits, { handle: this.handle }, { otherwise: 'unavailable' });
    return limitsOf(limits ?? NO_LIMITS);
  }

  async setLimits(change: Partial<GardenLimits>): Promise<GardenLimits> {
    const { client, ask } = this.remote;
    const answer = await ask(client.setLimits, { handle: this.handle, ...change }, { otherwise: 'invalid' });
    const limits = limitsOf(answer.limits ?? NO_LIMITS);
    this.own = { ...this.own, limits };
    return limits;
  }

  async setGraceTime(graceTimeMs: number): Promise<void> {
    const { client, ask } = this.remote;
    const request = { handle: this.handle, graceTime: durationOf(graceTimeMs) };
    await ask(client.setGraceTime, request, { otherwise: 'invalid' });
    this.own = withGraceTime(this.own, graceTimeMs);
  }

  async netIn(mapping: Partial<PortMapping>): Promise<PortMapping> {
    assertPortRequest(mapping);
    const { client, ask } = this.remote;
    const { hostPort, containerPort } = await ask(
      client.netIn,
      { handle: this.handle, hostPort: mapping.hostPort ?? 0, containerPort: mapping.containerPort ?? 0 },
      { otherwise: 'invalid' },
    );
    await this.status();
    return { hostPort, containerPort };
  }

  async netOut(rules: readonly EgressRule[]): Promise<void> {
    assertEgressRules(rules);
    const { client, ask } = this.remote;
    await ask(client.netOut, { handle: this.handle, rules: rulesTo(rules) }, { otherwise: 'invalid' });
  }

  async run(spec: ProcessSpec): Promise<GardenProcess> {
    if (spec.memoryShare) assertMemoryShare(spec.memoryShare);
    await startProcess(this.remote, this.handle, spec);
    return this.process(spec.id);
  }

  attach(id: string): GardenProcess | undefined {
    return this.processes.get(id);
  }

  exec(spec: ExecSpec): Promise<InteractiveProcess> {
    return remoteExec(this.remote, this.handle, spec);
  }

  async stop(graceMs: number): Promise<void> {
    const { client, ask } = this.remote;
    const request = { handle: this.handle, kill: graceMs === 0, grace: durationOf(graceMs) };
    await ask(client.stopContainer, request, { otherwise: 'unavailable', deadlineMs: graceMs + STOP_SLACK_MS });
  }

  streamIn(path: string, user: string, tar: Readable): Promise<void> {
    return sendTar(this.remote, { handle: this.handle, path, user }, tar);
  }

  streamOut(path: string, user: string): Promise<Readable> {
    return tarOf(this.remote, { handle: this.handle, path, user });
  }

  async metrics(): Promise<GardenMetrics> {
    const { client, ask } = this.remote;
    const { metrics } = await ask(client.getMetrics, { handle: this.handle }, { otherwise: 'unavailable' });
    if (!metrics) throw new GardenError('unavailable', 'the service shows no metrics');
    return metricsFrom(metrics);
  }

  private process(id: string): RemoteProcess {
    const process = this.processes.get(id) ?? new RemoteProcess(this.remote, this.handle, id);
    this.processes.set(id, process);
    return process;
  }
}

function specOf({ spec }: Container): GardenSpec {
  if (!spec) throw new GardenError('unavailable', 'the service shows a container without a specification');
  return specFrom(spec);
}
