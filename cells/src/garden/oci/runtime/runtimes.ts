import { GardenError } from '../../garden.js';
import { chooseRuntime } from './choice.js';
import { findProgram, type Runtime, type RuntimeProgram } from './runtime.js';

/** What containers were made with before their records told. */
const FIRST_RUNTIME = 'runc';

/** The runtimes of a cell: the one that makes containers now, and those that made the containers it has. */
export class Runtimes {
  private chosen: Runtime | undefined;

  constructor(private readonly wanted: string) {}

  /** Looks which one is to be used. Resolves with what is known of it, for people. @throws GardenError `unsupported` */
  async choose(): Promise<string> {
    const { runtime, found } = await chooseRuntime(this.wanted);
    if (!runtime) throw new GardenError('unsupported', `no runtime for containers: ${found}`);
    this.chosen = runtime;
    return found;
  }

  /** Makes new containers. */
  get current(): Runtime {
    if (!this.chosen) throw new Error('no runtime was chosen yet');
    return this.chosen;
  }

  /** The one that made a container. The others can't read what that has noted of it. */
  of(record: { runtime?: RuntimeProgram }): RuntimeProgram {
    return record.runtime ?? { name: FIRST_RUNTIME, path: findProgram(FIRST_RUNTIME) };
  }
}
