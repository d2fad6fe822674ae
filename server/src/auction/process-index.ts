/** A place where instances can be counted. */
export interface Place {
  readonly id: string;
  readonly zone: string;
}

/**
 * Where the instances of one process are: per cell and per zone. Most processes of a large cluster have one instance, so the
 * first place is kept without any map.
 */
export class ProcessCounts<P extends Place> {
  private only: P | undefined;
  private onlyCount = 0;
  private byCell: Map<P, number> | undefined;
  private byZone: Map<string, number> | undefined;

  constructor(readonly guid: string) {}

  get isEmpty(): boolean {
    return this.byCell === undefined ? this.onlyCount === 0 : this.byCell.size === 0;
  }

  /** Instances on the cell. */
  on(cell: P): number {
    if (this.byCell !== undefined) return this.byCell.get(cell) ?? 0;
    return this.only === cell ? this.onlyCount : 0;
  }

  /** Instances on all cells of the zone. */
  inZone(zone: string): number {
    if (this.byZone !== undefined) return this.byZone.get(zone) ?? 0;
    return this.only?.zone === zone ? this.onlyCount : 0;
  }

  add(cell: P): void {
    if (this.byCell === undefined) {
      if (this.onlyCount === 0 || this.only === cell) {
        this.only = cell;
        this.onlyCount++;
        return;
      }
      const first = this.only as P;
      this.byCell = new Map([[first, this.onlyCount]]);
      this.byZone = new Map([[first.zone, this.onlyCount]]);
      this.only = undefined;
    }
    change(this.byCell, cell, 1);
    change(this.byZone as Map<string, number>, cell.zone, 1);
  }

  remove(cell: P): void {
    if (this.on(cell) === 0) return;
    if (this.byCell === undefined) {
      this.onlyCount--;
      if (this.onlyCount === 0) this.only = undefined;
      return;
    }
    change(this.byCell, cell, -1);
    change(this.byZone as Map<string, number>, cell.zone, -1);
  }
}

/** All processes that have an instance somewhere. */
export class ProcessIndex<P extends Place> {
  private readonly processes = new Map<string, ProcessCounts<P>>();

  get(processGuid: string): ProcessCounts<P> | undefined {
    return this.processes.get(processGuid);
  }

  add(processGuid: string, cell: P): void {
    let counts = this.processes.get(processGuid);
    if (counts === undefined) {
      counts = new ProcessCounts(processGuid);
      this.processes.set(processGuid, counts);
    }
    counts.add(cell);
  }

  remove(processGuid: string, cell: P): void {
    const counts = this.processes.get(processGuid);
    counts?.remove(cell);
    if (counts?.isEmpty) this.processes.delete(processGuid);
  }
}

function change<K>(counts: Map<K, number>, key: K, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count <= 0) counts.delete(key);
  else counts.set(key, count);
}
