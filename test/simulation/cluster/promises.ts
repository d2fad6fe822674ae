import type { DesiredLrpRow } from '@rivera/server/bbs/core/model';
import type { MemoryDatabase } from '@rivera/server/bbs/journal/memory-journal';

/** What clients decide of an LRP. */
export interface LrpFacts {
  readonly instances: number;
  readonly annotation: string;
}

/** What the database may say of a name: one thing when all is known, two while the fate of a command is open. */
type Expected = readonly (LrpFacts | undefined)[];

/**
 * What clients were promised. Each name has one command at a time; an acknowledged one must be in the database from then on, a refused
 * one must not, and one of unknown outcome may be either way until its fate is decided.
 */
export class Promises {
  private readonly lrps = new Map<string, Expected>();
  private readonly tasks = new Map<string, 'there' | 'open' | 'gone'>();

  constructor(private readonly rows: MemoryDatabase) {}

  /** What an LRP is, when nothing about it is open. */
  lrp(guid: string): { readonly known: boolean; readonly facts: LrpFacts | undefined } {
    const expected = this.lrps.get(guid) ?? [undefined];
    return { known: expected.length === 1, facts: expected[0] };
  }

  tasksThere(): string[] {
    return [...this.tasks].filter(([, state]) => state === 'there').map(([guid]) => guid);
  }

  /** A command is under way that would make `after` of it. */
  openLrp(guid: string, after: LrpFacts | undefined): void {
    this.lrps.set(guid, [...(this.lrps.get(guid) ?? [undefined]), after]);
  }

  /** The command was acknowledged. */
  lrpIs(guid: string, facts: LrpFacts | undefined): void {
    this.lrps.set(guid, [facts]);
  }

  /** The fate of the command is decided: the database knows which. */
  lrpDecided(guid: string): void {
    const row = this.rows.desiredLrps.get(guid);
    const fitting = (this.lrps.get(guid) ?? [undefined]).find((facts) => fits(row, facts));
    this.lrps.set(guid, [fitting]);
  }

  openTask(guid: string): void {
    this.tasks.set(guid, 'open');
  }

  taskIs(guid: string, state: 'there' | 'gone'): void {
    this.tasks.set(guid, state);
  }

  taskDecided(guid: string): void {
    this.tasks.set(guid, this.rows.tasks.has(guid) ? 'there' : 'gone');
  }

  /** A Task was forgotten after its time, as it may be. */
  taskForgotten(guid: string): void {
    if (this.tasks.get(guid) === 'there') this.tasks.set(guid, 'gone');
  }

  /** What the database says otherwise. */
  broken(): string | undefined {
    for (const [guid, expected] of this.lrps) {
      const row = this.rows.desiredLrps.get(guid);
      if (expected.some((facts) => fits(row, facts))) continue;
      const found = row && { instances: row.instances, annotation: row.annotation };
      return `LRP ${guid} was promised as ${JSON.stringify(expected)}, the database has ${JSON.stringify(found)}`;
    }
    for (const [guid, state] of this.tasks) {
      const there = this.rows.tasks.has(guid);
      if (state === 'there' && !there) return `task ${guid} was acknowledged and is not in the database`;
      if (state === 'gone' && there) return `task ${guid} was deleted and is in the database`;
    }
    return undefined;
  }
}

function fits(row: DesiredLrpRow | undefined, facts: LrpFacts | undefined): boolean {
  return row?.instances === facts?.instances && row?.annotation === facts?.annotation;
}
