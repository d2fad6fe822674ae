import { readIfPresent, writeDurably } from '../../kernel/durable.js';
import type { IdMapping } from '../../kernel/kernel-steps.js';
import { bootId, isAlive, processFacts } from '../../kernel/proc.js';
import type { ContainerInfo, GardenSpec } from '../garden.js';
import type { ContainerPlaces } from './places.js';
import type { ProcessIdentity } from './process/signals.js';
import type { RuntimeProgram } from './runtime/runtime.js';

/** What is kept of a container; its file exists exactly while the container is whole. */
export interface ContainerRecord {
  version: 1;
  spec: GardenSpec;
  info: ContainerInfo;
  createdAtMs: number;
  /** Run of the machine in which it was made; in another one nothing of it runs. */
  bootId: string;
  init: ProcessIdentity;
  /** Its own ids; absent with the host's user namespace, which privileged containers have and those of earlier agents. */
  ids?: IdMapping;
  /** What made it; absent in records of earlier agents. */
  runtime?: RuntimeProgram;
  /** `stop` ended its processes. */
  stopped?: boolean;
}

/** Makes a container whole. */
export async function writeRecord(places: ContainerPlaces, record: ContainerRecord): Promise<void> {
  await writeDurably(places.record, JSON.stringify(record));
}

/** Undefined when the container isn't whole. */
export async function readRecord(path: string): Promise<ContainerRecord | undefined> {
  const text = await readIfPresent(path);
  if (text === undefined) return undefined;
  const record = JSON.parse(text) as ContainerRecord;
  // Records of earlier versions know no rules.
  return { ...record, spec: { ...record.spec, egress: record.spec.egress ?? [] } };
}

/** Whether a container's init runs. */
export function isInitAlive(record: ContainerRecord): boolean {
  return record.bootId === bootId() && isAlive(record.init.pid, record.init.startTime);
}

/** Takes down who a container's init is. */
export async function identifyInit(places: ContainerPlaces): Promise<ProcessIdentity> {
  const pid = Number(await readIfPresent(places.initPidFile));
  const facts = pid > 0 ? processFacts(pid) : undefined;
  if (!facts) throw new Error('container init PID was 0');
  return { pid, startTime: facts.startTime };
}
