import { allChecks } from './checks.js';
import { explainMissing, type Probe, probe } from './probe.js';

/** Where a cell keeps its data when nobody says otherwise; only the free space there matters here. */
const DEFAULT_DATA_DIR = '/var/lib/rivera';

/** What a cell is going to do with a machine. */
export interface MachineUse {
  dataDir?: string;
  /** Whether containers get ids of their own, as is the default; without, the machine needn't be able to. */
  userNamespaces?: boolean;
  /** What makes containers, by name or path; `auto`, the default: the best that works. */
  runtime?: string;
}

/** The same for a cell that is about to start. */
export interface CellStart extends MachineUse {
  /** Whether it has run here before: what is there may need it, and it needs no room to go on. */
  resumes?: boolean;
}

/** The machine lacks something; the message says all of it, and how to get it. */
export class MachineNotReadyError extends Error {
  constructor(
    message: string,
    readonly probes: Probe[],
  ) {
    super(message);
    this.name = 'MachineNotReadyError';
  }
}

/** Looks at everything that real containers need. Takes about a second and leaves nothing behind. */
export async function probeMachine(o: MachineUse = {}): Promise<Probe[]> {
  const { dataDir = DEFAULT_DATA_DIR, userNamespaces = true, runtime = 'auto' } = o;
  return Promise.all(allChecks({ dataDir, userNamespaces, runtime }).map(probe));
}

/**
 * @returns what the cell starts without: room, where it resumes
 * @throws MachineNotReadyError that lists everything that is missing, with the one line that installs it
 */
export async function assertMachineReady(o: CellStart = {}): Promise<Probe[]> {
  const probes = await probeMachine(o);
  const forgiven = o.resumes === true ? probes.filter(({ noRoom }) => noRoom) : [];
  const message = explainMissing(probes.filter((each) => !forgiven.includes(each)));
  if (message) throw new MachineNotReadyError(message, probes);
  return forgiven;
}
