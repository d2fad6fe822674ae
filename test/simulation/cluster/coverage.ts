/** What a history may contain that is out of the ordinary; a run shows how often each happened, as proof that it does. */
export const HAPPENINGS = [
  'stream broken',
  'half-open stream',
  'messages lost in a broken stream',
  'message delayed',
  'report sent again',
  'request lost',
  'answer lost',
  'request repeated',
  'agent crashed',
  'machine crashed',
  'machine replaced',
  'agent frozen',
  'cell cut off',
  'cell back after its time to live',
  'cell evacuated',
  'LRP removed while its cell is away',
  'leader change',
  'server crashed',
  'server stopped in order',
  'state read ahead by the next leader',
  'leader paused',
  'server cut off from the database',
  'write of a deposed leader refused',
  'commit failed before it was durable',
  'commit failed after it was durable',
  'commit slow',
  'database away',
  'clock leapt ahead',
  'clock set back',
  'container crashed',
  'container could not be made',
  'reservation expired',
  'placement failed',
  'instance of a silent cell kept in mind',
  'instance of a drained cell kept until replaced',
  'container without a slot to be stopped',
  'loss of most cells held back',
  'work refused by a cell',
  'watch resumed',
  'watch begun anew',
  'watch resumed at another leader',
] as const;

export type Happening = (typeof HAPPENINGS)[number];

/** Figures of one history, or of many together. */
export class Coverage {
  histories = 0;
  steps = 0;
  commands = 0;
  acknowledged = 0;
  executions = 0;
  virtualMs = 0;
  readonly happened: Record<Happening, number>;

  constructor() {
    this.happened = Object.fromEntries(HAPPENINGS.map((name) => [name, 0])) as Record<Happening, number>;
  }

  note(happening: Happening, times = 1): void {
    this.happened[happening] += times;
  }

  add(other: CoverageFigures): void {
    this.histories += other.histories;
    this.steps += other.steps;
    this.commands += other.commands;
    this.acknowledged += other.acknowledged;
    this.executions += other.executions;
    this.virtualMs += other.virtualMs;
    for (const name of HAPPENINGS) this.happened[name] += other.happened[name];
  }

  /** What never happened. */
  missing(): Happening[] {
    return HAPPENINGS.filter((name) => this.happened[name] === 0);
  }
}

/** As it crosses from process to process. */
export type CoverageFigures = Pick<
  Coverage,
  'histories' | 'steps' | 'commands' | 'acknowledged' | 'executions' | 'virtualMs' | 'happened'
>;
