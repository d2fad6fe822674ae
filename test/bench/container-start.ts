import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OciGarden } from '@rivera/cells/garden/oci/oci-garden';
import { buildBusyboxRootFs } from '@rivera/cells/garden/rootfs/busybox';
import { systemClock } from '@rivera/kit/clock';
import { createLogger } from '@rivera/kit/log';
import { quantile, type Report } from './figures.js';
import { unwinding } from './stand/unwinding.js';

/** From asking for a container, with quota, network and a mapped port, to its first process running; one after the other. */
export async function containerStart(report: Report, { containers }: { containers: number }): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'rivera-bench-'));
  const network = process.pid % 200;
  await buildBusyboxRootFs(join(folder, 'rootfs', 'busybox'));
  const garden = new OciGarden({
    cellId: `bench-${process.pid}`,
    dataDir: join(folder, 'cell'),
    rootFsDir: join(folder, 'rootfs'),
    subnet: `10.250.${network}.0/24`,
    bridge: `rvb${process.pid}`,
    portRange: { first: 40_000 + network * 100, last: 40_000 + network * 100 + 99 },
    log: createLogger({ name: 'bench', level: 'error' }),
    clock: systemClock,
  });
  const phases = { create: [] as number[], run: [] as number[], both: [] as number[], destroy: [] as number[] };
  const clear = async () => {
    for (const container of garden.list()) await garden.destroy(container.handle);
    await garden.dissolve();
    await garden.close();
    await rm(folder, { recursive: true, force: true });
  };
  await unwinding(clear, async () => {
    await garden.start();
    for (let i = 0; i < containers + 3; i++) {
      const from = performance.now();
      const container = await garden.create({
        handle: `c-${i}`,
        rootFs: 'preloaded:busybox',
        env: {},
        properties: {},
        limits: { memoryBytes: 64 << 20, diskBytes: 64 << 20, pids: 64, cpuShares: 128 },
        ports: [8080],
        egress: [],
        mounts: [],
        privileged: false,
      });
      const created = performance.now();
      await container.run({ id: 'p', path: '/bin/sleep', args: ['1000'], env: {}, dir: '', user: 'root' });
      const running = performance.now();
      await garden.destroy(container.handle);
      if (i < 3) continue;
      phases.create.push(created - from);
      phases.run.push(running - created);
      phases.both.push(running - from);
      phases.destroy.push(performance.now() - running);
    }
  });
  const conditions = `${containers} containers one after the other, 64 MiB quota, overlay, bridge, mapped port`;
  report({ name: 'create-to-running p50', value: quantile(phases.both, 0.5), unit: 'ms', conditions });
  report({ name: 'create-to-running p99', value: quantile(phases.both, 0.99), unit: 'ms', conditions });
  report({ name: 'create p50', value: quantile(phases.create, 0.5), unit: 'ms', conditions });
  report({ name: 'run p50', value: quantile(phases.run, 0.5), unit: 'ms', conditions });
  report({ name: 'destroy p50', value: quantile(phases.destroy, 0.5), unit: 'ms', conditions });
}
