import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GardenWorld } from '../contract.js';
import { cellPlaces } from './places.js';
import { scratchCell } from './scratch-cell.js';

/** For the contract suite: this machine, with a cell for it alone. */
export async function ociWorld(): Promise<GardenWorld> {
  const cell = await scratchCell();
  const shell = (script: string) => ({ path: '/bin/sh', args: ['-c', script] });
  return {
    open: () => cell.open(),
    rootFs: cell.rootFs,
    programs: {
      exit: (code, afterMs = 0) => shell(`sleep ${afterMs / 1000}; exit ${code}`),
      run: () => shell('exec sleep 1000'),
      print: (lines) => ({ path: '/bin/printf', args: [`${lines.join('\\n')}\\n`] }),
      cat: { path: '/bin/cat', args: [] },
      size: shell('while read line; do stty size; done'),
      missing: { path: '/bin/no-such-program', args: [] },
    },
    async loseSupervisor(handle, id) {
      const dir = join(cellPlaces(cell.options.dataDir, cell.options.cellId).container(handle).processes, id);
      spawnSync('kill', ['-9', await readFile(join(dir, 'conmon.pid'), 'utf8')]);
    },
    leaks: () => cell.leaks(),
    close: () => cell.remove(),
  };
}
