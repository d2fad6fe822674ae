import { systemClock } from '@rivera/kit/clock';
import type { GardenWorld } from '../contract.js';
import { SimMachine } from './machine.js';
import { SimGarden } from './sim-garden.js';

/** For the contract suite: a pretended machine. */
export async function simWorld(): Promise<GardenWorld> {
  const machine = new SimMachine({ clock: systemClock });
  return {
    async open() {
      const garden = new SimGarden(machine);
      await garden.start();
      return garden;
    },
    rootFs: 'preloaded:busybox',
    programs: {
      exit: (code, afterMs = 0) => ({ path: '/sim/exit', args: [String(code), String(afterMs)] }),
      run: () => ({ path: '/sim/run', args: [] }),
      print: (lines) => ({ path: '/sim/print', args: lines }),
      cat: { path: '/sim/cat', args: [] },
      size: { path: '/sim/size', args: [] },
      missing: { path: '/sim/missing', args: [] },
    },
    loseSupervisor: async (handle, id) => machine.lose(handle, id),
    leaks: async () => [...machine.containers.keys()],
    close: async () => undefined,
  };
}
