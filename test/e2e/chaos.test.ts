import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { cellPlaces } from '@rivera/cells/garden/oci/places';
import { tracesOf } from '@rivera/cells/garden/oci/traces';
import { buildBusyboxRootFs } from '@rivera/cells/garden/rootfs/busybox';
import { ContainerState } from '@rivera/gen/rivera/rep/v1/container';
import { RepServiceClient } from '@rivera/gen/rivera/rep/v1/rep_service';
import { dial, unary } from '@rivera/kit/grpc/dial';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { supervisorsBelow } from '../stack/processes.js';
import type { Program } from '../stack/program.js';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { get, instancesOf, isRunning, urlOf, webApp } from '../stack/work.js';

/*
 * What a cell's machine can do to a running instance. Afterwards the BBS, the cell and the kernel tell of the same one instance, and
 * when its LRP is removed nothing stays anywhere. Fail points of the agent are at-most-once.test.ts, those of a container's life
 * without servers are in cells/src/garden/oci/chaos.test.ts.
 */

const AGREE_TIMEOUT_MS = 120_000;

let stack: Stack;
let client: RiveraClient;
let rep: RepServiceClient;

beforeAll(async () => {
  stack = await Stack.start({
    cells: 0,
    server: {
      // Crashes are what this is about: nobody needs a pause between them.
      bbs: { presenceTtl: '8s', kick: 1_000, restart: { minimumBackoff: '500ms', maximumBackoff: '1s' } },
      auction: { noCellGrace: 1_000 },
    },
  });
  // A disk of its own that can be filled, below everything that the cell keeps.
  const image = join(stack.folder, 'disk.img');
  writeFileSync(image, '');
  truncateSync(image, 2 * 1024 ** 3);
  mkdirSync(cellFolder());
  execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
  execFileSync('mount', ['-o', 'loop', image, cellFolder()]);
  layOutRuntime();
  await buildBusyboxRootFs(join(stack.folder, 'rootfs', 'busybox'));
  await stack.addCell({}, ownRuntime());
  client = await stack.client();
  const { repAddress } = await until('the cell is there', async () => {
    for await (const each of client.cells.list()) return each.presence;
    return undefined;
  });
  rep = dial(RepServiceClient, repAddress, await stack.identity('server', 'chaos'), { expect: 'cell' });
}, 180_000);
afterAll(async () => {
  rep?.close();
  if (stack) {
    repair();
    await stack.close();
  }
}, 180_000);

const theCell = () => stack.cells[0] as Program;
const cellFolder = () => join(stack.folder, 'cell-1');
const places = () => cellPlaces(cellFolder(), 'cell-1');
const failures = () => join(stack.folder, 'failures');
const filler = () => join(cellFolder(), 'filler');

/** A runtime that fails as often as a file has lines, each time one less. */
function layOutRuntime(): void {
  const bin = join(stack.folder, 'bin');
  mkdirSync(bin);
  writeFileSync(failures(), '');
  const script = `#!/bin/sh
if [ -s ${failures()} ]; then sed -i 1d ${failures()}; echo 'out of order' >&2; exit 1; fi
PATH="\${PATH#*:}" exec "$(basename "$0")" "$@"
`;
  for (const name of ['crun', 'runc']) {
    writeFileSync(join(bin, name), script);
    chmodSync(join(bin, name), 0o755);
  }
}

const ownRuntime = () => ({ PATH: `${join(stack.folder, 'bin')}:${process.env.PATH}` });

function startCell(): void {
  theCell().start(ownRuntime());
}

function repair(): void {
  writeFileSync(failures(), '');
  rmSync(filler(), { recursive: true, force: true });
}

interface Running {
  guid: string;
  /** Of the container's first process. */
  init: number;
  supervisor: number;
}

const FAULTS: Record<string, (running: Running) => Promise<void> | void> = {
  'its init is killed': ({ init }) => kill(init),
  'its supervisor is killed': ({ supervisor }) => kill(supervisor),
  'its init and its supervisor are killed while the agent is dead': async ({ init, supervisor }) => {
    await theCell().kill();
    kill(init);
    kill(supervisor);
    startCell();
  },
  'the runtime fails where the next one is made': ({ init }) => {
    writeFileSync(failures(), '1\n2\n');
    kill(init);
  },
  'the disk is full when it ends, and stays so for a while': async ({ guid, supervisor }) => {
    fill();
    kill(supervisor);
    await until('it is not running any more, by the BBS', async () => (await running())?.guid !== guid);
    repair();
  },
  'the disk is full when the agent is killed and starts again, and then its instance is stopped': async ({ guid }) => {
    fill();
    await theCell().kill();
    startCell();
    await until('the cell is back', cellAnswers);
    expect((await running())?.guid).toBe(guid);
    await client.actualLrps.retire(lrp, 0);
    await until('it has made room', async () => {
      expect((await tracesOf(places())).filter(({ handle }) => handle === guid)).toEqual([]);
      return true;
    });
    repair();
  },
};

describe('BBS, cell and kernel agree, and in the end nothing is left', { timeout: 300_000 }, () => {
  it.each(Object.entries(FAULTS))('when %s', async (name, strike) => {
    const processGuid = `web-${Object.keys(FAULTS).indexOf(name)}`;
    lrp = processGuid;
    await client.desiredLrps.desire(webApp(processGuid, 1));
    await strike(await agreed());
    await agreed();
    await client.desiredLrps.remove(processGuid);
    await until('nothing is left', async () => {
      expect(await instancesOf(client, processGuid)).toEqual([]);
      expect(readdirSync(join(cellFolder(), 'executor/containers'))).toEqual([]);
      expect(await tracesOf(places())).toEqual([]);
      return true;
    });
  });
});

let lrp = '';

/** Waits until all tell of one instance, which answers. */
function agreed(): Promise<Running> {
  return until(
    'BBS, cell and kernel agree',
    async () => {
      const found = await running();
      if (!found) return undefined;
      const { containers } = await unary(rep, rep.listContainers, { pageSize: 0, pageToken: '' });
      expect(containers.map(({ containerGuid, state }) => [containerGuid, state])).toEqual([
        [found.guid, ContainerState.RUNNING],
      ]);
      expect(new Set((await tracesOf(places())).map(({ handle }) => handle))).toEqual(new Set([found.guid]));
      expect(await get(found.url)).toBe(`${found.guid} 0`);
      const own = places().container(found.guid);
      const [supervisor, ...others] = supervisorsBelow(own.dir);
      expect([supervisor, ...others]).toHaveLength(1);
      return {
        guid: found.guid,
        init: Number(readFileSync(own.initPidFile, 'utf8')),
        supervisor: supervisor as number,
      };
    },
    AGREE_TIMEOUT_MS,
  );
}

/** The instance that runs, by the BBS. */
async function running(): Promise<{ guid: string; url: string } | undefined> {
  const instances = await instancesOf(client, lrp);
  const [instance] = instances.filter(isRunning);
  if (instances.length !== 1 || !instance) return undefined;
  return { guid: instance.instanceGuid, url: urlOf(instance) };
}

async function cellAnswers(): Promise<boolean> {
  return unary(rep, rep.getState, {}).then(
    () => true,
    () => false,
  );
}

/** No block is left. Most of it is only set aside, which is quicker than writing it. */
function fill(): void {
  const avail = Number(
    execFileSync('df', ['--output=avail', '-B1M', cellFolder()], { encoding: 'utf8' }).split('\n')[1],
  );
  mkdirSync(filler());
  execFileSync('fallocate', ['-l', `${avail - 32}M`, join(filler(), 'set-aside')]);
  // It fails when there is no more room.
  spawnSync('dd', ['if=/dev/zero', `of=${join(filler(), 'written')}`, 'bs=64k']);
  expect(statfsSync(cellFolder()).bavail).toBeLessThan(16);
}

function kill(pid: number): void {
  expect(pid).toBeGreaterThan(1);
  process.kill(pid, 'SIGKILL');
}
