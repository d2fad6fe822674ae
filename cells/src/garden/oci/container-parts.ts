import type { Grace } from '../grace.js';
import type { Cell } from './cell.js';
import type { ContainerCgroup } from './cgroups/cgroup.js';
import type { ContainerPlaces } from './places.js';
import type { RuntimeProgram } from './runtime/runtime.js';

/** What a container consists of, for those that run something in it. Nothing of it changes while the container lives. */
export interface ContainerParts {
  cell: Cell;
  places: ContainerPlaces;
  cgroup: ContainerCgroup;
  /** What made it. */
  runtime: RuntimeProgram;
  /** Pid of its init on the host. */
  init: number;
  /** Host id of its root; undefined with the host's user namespace. */
  rootId: number | undefined;
  grace: Grace;
}
