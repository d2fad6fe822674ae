import type { Prober } from './prober.js';

/** For simulated containers, which have no network: they are healthy for as long as they run. */
export const simProber: Prober = { probe: async () => undefined };
