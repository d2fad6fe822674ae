import { readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { runToEnd } from '../../../kernel/command.js';
import type { GardenMetrics } from '../../garden.js';
import type { ContainerPlaces } from '../places.js';
import { type ContainerRecord, isInitAlive } from '../record.js';
import type { ContainerCgroup } from './cgroup.js';

/** Counting the files of a container without a disk limit may take long; then the disk is told as 0. */
const COUNT_TIMEOUT_MS = 5000;

/** What a container uses now; a container whose init is gone uses nothing but its disk. */
export async function readMetrics(o: {
  places: ContainerPlaces;
  record: ContainerRecord;
  cgroup: ContainerCgroup;
  nowMs: number;
}): Promise<GardenMetrics> {
  const alive = isInitAlive(o.record);
  const [usage, traffic, diskBytes] = await Promise.all([
    alive ? o.cgroup.usage() : { memoryBytes: 0, cpuTimeNs: 0, pids: 0 },
    alive ? readTraffic(o.record.init.pid) : { rxBytes: 0, txBytes: 0 },
    readDisk(o.places, o.record.spec.limits.diskBytes),
  ]);
  return { ...usage, ...traffic, diskBytes, ageMs: Math.max(0, o.nowMs - o.record.createdAtMs) };
}

async function readDisk(places: ContainerPlaces, limit: number): Promise<number> {
  if (limit > 0) {
    const { blocks, bfree, bsize } = await statfs(places.disk);
    return (blocks - bfree) * bsize;
  }
  const { code, stdout } = await runToEnd('du', ['-skx', join(places.disk, 'upper')], { timeoutMs: COUNT_TIMEOUT_MS });
  return code === 0 ? Number.parseInt(stdout, 10) * 1024 : 0;
}

/** As seen from inside: a process's /proc shows the devices of its namespace. */
async function readTraffic(pid: number): Promise<{ rxBytes: number; txBytes: number }> {
  return parseTraffic(await readFile(`/proc/${pid}/net/dev`, 'utf8'));
}

/** Bytes in and out of `eth0` in the kernel's table. */
export function parseTraffic(table: string): { rxBytes: number; txBytes: number } {
  const line = table.split('\n').find((row) => row.trim().startsWith('eth0:'));
  const numbers = (line?.split(':')[1] ?? '').trim().split(/\s+/).map(Number);
  return { rxBytes: numbers[0] || 0, txBytes: numbers[8] || 0 };
}
