import type { ActualLrp } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { Cell } from '@rivera/gen/rivera/bbs/v1/cell';
import type { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { Task } from '@rivera/gen/rivera/bbs/v1/task';

/** What is known of an LRP, or of one instance of it. */
export interface LrpFacts {
  readonly name: string;
  /** The only instance that is asked about. */
  readonly index: number | undefined;
  /** Absent: nobody desires it. */
  readonly desired: DesiredLrp | undefined;
  /** In order of index; of one slot the ordinary record first. */
  readonly instances: readonly ActualLrp[];
  /** Those that instances are on, by id; absent: the servers know it no more. */
  readonly cells: ReadonlyMap<string, Cell>;
  /** Whether somebody vouches for what is desired in the domain; undefined: it does not matter here, and was not asked. */
  readonly domainIsFresh: boolean | undefined;
}

/** What is known of a Task. */
export interface TaskFacts {
  readonly task: Task;
  /** The one that runs it. */
  readonly cell: Cell | undefined;
}

/** What somebody is told: sentences, and what could be typed next. */
export interface Story {
  readonly lines: readonly string[];
  readonly next: readonly Step[];
}

/** A command, and what it is good for. */
export interface Step {
  readonly command: string;
  readonly meaning: string;
}
