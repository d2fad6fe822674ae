import { Duration } from '@rivera/gen/google/protobuf/duration';
import {
  Container,
  ContainerSpec,
  ContainerState,
  Limits,
  Metrics,
  type OutputPiece,
  OutputStream,
  type ProcessExit,
  ProcessSpec,
  EgressRule as Rule,
} from '@rivera/gen/rivera/garden/v1/container';
import type {
  ContainerInfo,
  ContainerStatus,
  EgressRule,
  ExitStatus,
  GardenContainer,
  GardenLimits,
  GardenMetrics,
  GardenSpec,
  ProcessSpec as Process,
  ProcessOutput,
} from '../garden/garden.js';

/** Milliseconds of a duration; none are 0. */
export function msOf(time: Duration | undefined): number {
  return time ? time.seconds * 1000 + time.nanos / 1e6 : 0;
}

export function durationOf(ms: number): Duration {
  const seconds = Math.floor(ms / 1000);
  return Duration.fromPartial({ seconds, nanos: Math.round((ms - seconds * 1000) * 1e6) });
}

export function envOf(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

export function linesOf(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`);
}

export const NO_LIMITS: GardenLimits = { memoryBytes: 0, diskBytes: 0, pids: 0, cpuShares: 0 };

export function limitsOf({
  memoryBytes,
  diskBytes,
  pids,
  cpuShares,
  cpuMillicores,
  inodes,
}: GardenLimits): GardenLimits {
  return {
    memoryBytes,
    diskBytes,
    pids,
    cpuShares,
    ...(cpuMillicores ? { cpuMillicores } : {}),
    ...(inodes ? { inodes } : {}),
  };
}

export function limitsTo(limits: GardenLimits): Limits {
  return Limits.fromPartial({ ...limitsOf(limits) });
}

export function rulesFrom(rules: readonly Rule[]): EgressRule[] {
  return rules.map(({ protocol, networks, ports, icmp, log }) => ({
    // Whether it is one of them is checked with the rest.
    protocol: protocol as EgressRule['protocol'],
    networks: networks.map(({ start, end }) => ({ start, end })),
    ports: ports.map(({ start, end }) => ({ start, end })),
    ...(icmp ? { icmp: { type: icmp.type, ...(icmp.code === undefined ? {} : { code: icmp.code }) } } : {}),
    log,
  }));
}

export function rulesTo(rules: readonly EgressRule[]): Rule[] {
  return rules.map(({ protocol, networks, ports, icmp, log }) =>
    Rule.fromPartial({
      protocol,
      networks: networks.map(({ start, end }) => ({ start, end })),
      ports: ports.map(({ start, end }) => ({ start, end })),
      log,
      ...(icmp ? { icmp: { type: icmp.type, ...(icmp.code === undefined ? {} : { code: icmp.code }) } } : {}),
    }),
  );
}

/** What the garden is asked for; the handle is filled in where there was none. */
export function specFrom(spec: ContainerSpec, handle = spec.handle): GardenSpec {
  return {
    handle,
    rootFs: spec.rootFs,
    env: envOf(spec.env),
    properties: spec.properties,
    limits: limitsOf(spec.limits ?? NO_LIMITS),
    ports: spec.ports,
    egress: rulesFrom(spec.egressRules),
    mounts: spec.bindMounts.map(({ source, destination, readOnly }) => ({ source, destination, readOnly })),
    privileged: spec.privileged,
    ...(spec.graceTime ? { graceTimeMs: msOf(spec.graceTime) } : {}),
  };
}

export function specTo(spec: GardenSpec): ContainerSpec {
  const { env, limits, mounts, graceTimeMs, handle, rootFs, properties, ports, egress, privileged } = spec;
  return ContainerSpec.fromPartial({
    ...{ handle, rootFs, properties, ports, privileged },
    egressRules: rulesTo(egress),
    env: linesOf(env),
    limits: limitsTo(limits),
    bindMounts: mounts.map(({ source, destination, readOnly }) => ({ source, destination, readOnly })),
    ...(graceTimeMs === undefined ? {} : { graceTime: durationOf(graceTimeMs) }),
  });
}

/** A container as it is shown. */
export function containerTo(container: GardenContainer, status: ContainerStatus, managed: boolean): Container {
  const info = container.info();
  return Container.fromPartial({
    spec: specTo(container.spec),
    managed,
    hostAddress: info.hostAddress,
    containerAddress: info.containerAddress,
    ports: info.ports,
    imageEnv: linesOf(info.imageEnv),
    imageUser: info.imageUser ?? '',
    imageDir: info.imageDir ?? '',
    state: status.state === 'active' ? ContainerState.ACTIVE : ContainerState.STOPPED,
    events: status.events,
    processes: [...status.processes].sort((a, b) => (a.id < b.id ? -1 : 1)),
  });
}

export function infoFrom({ hostAddress, containerAddress, ports, imageEnv, ...image }: Container): ContainerInfo {
  return {
    hostAddress,
    containerAddress,
    ports: ports.map(({ containerPort, hostPort }) => ({ containerPort, hostPort })),
    imageEnv: envOf(imageEnv),
    ...(image.imageUser === '' ? {} : { imageUser: image.imageUser }),
    ...(image.imageDir === '' ? {} : { imageDir: image.imageDir }),
  };
}

export function statusFrom({ state, events, processes }: Container): ContainerStatus {
  return {
    state: state === ContainerState.ACTIVE ? 'active' : 'stopped',
    events,
    processes: processes.map(({ id, ended }) => ({ id, ended })),
  };
}

export function metricsTo({ cpuTimeNs, ageMs, ...counts }: GardenMetrics): Metrics {
  return Metrics.fromPartial({ ...counts, cpuTime: durationOf(cpuTimeNs / 1e6), age: durationOf(ageMs) });
}

export function metricsFrom({ cpuTime, age, ...counts }: Metrics): GardenMetrics {
  const { memoryBytes, diskBytes, pids, rxBytes, txBytes } = counts;
  const cpuTimeNs = (cpuTime?.seconds ?? 0) * 1e9 + (cpuTime?.nanos ?? 0);
  return { memoryBytes, diskBytes, pids, rxBytes, txBytes, cpuTimeNs, ageMs: msOf(age) };
}

export function processFrom(process: ProcessSpec, id = process.id): Process {
  const { path, args, env, dir, user, rlimits, stdin, terminal, memoryShare } = process;
  const { columns = 80, rows = 24 } = terminal?.windowSize ?? {};
  return {
    id,
    path,
    args,
    env: envOf(env),
    dir,
    user,
    ...(Object.keys(rlimits).length > 0 ? { rlimits } : {}),
    ...(stdin ? { stdin } : {}),
    ...(memoryShare ? { memoryShare: { name: memoryShare.name, bytes: memoryShare.bytes } } : {}),
    ...(terminal ? { terminal: { term: terminal.term || 'xterm', columns, rows } } : {}),
  };
}

export function processTo({ env, terminal, nofile, rlimits, memoryShare, ...same }: Process): ProcessSpec {
  return ProcessSpec.fromPartial({
    ...same,
    env: linesOf(env),
    rlimits: { ...(nofile === undefined ? {} : { nofile }), ...rlimits },
    ...(memoryShare ? { memoryShare } : {}),
    ...(terminal
      ? { terminal: { term: terminal.term, windowSize: { columns: terminal.columns, rows: terminal.rows } } }
      : {}),
  });
}

export function pieceTo({ timeMs, stream, data, partial }: ProcessOutput): OutputPiece {
  const streams = { stdout: OutputStream.STDOUT, stderr: OutputStream.STDERR };
  return { time: new Date(timeMs), stream: streams[stream], data, partial };
}

export function pieceFrom({ time, stream, data, partial }: OutputPiece): ProcessOutput {
  return { timeMs: time?.getTime() ?? 0, stream: stream === OutputStream.STDERR ? 'stderr' : 'stdout', data, partial };
}

export function exitTo({ code, outOfMemory, lost }: ExitStatus): ProcessExit {
  return { code, outOfMemory, lost: lost ?? '' };
}

export function exitFrom({ code, outOfMemory, lost }: ProcessExit): ExitStatus {
  return { code, outOfMemory, ...(lost === '' ? {} : { lost }) };
}
