import type { ProcessSpec, WindowSize } from '../garden.js';

/** What a simulated program does. */
export interface Behaviour {
  kind: 'runs' | 'exits' | 'missing';
  code: number;
  afterMs: number;
  /** How long it takes to end after any signal but KILL. */
  termDelayMs: number;
  lines: string[];
  writes: { path: string; content: string }[];
  /** What it prints for a line of its input; it exits 0 when that ends. */
  answer?: (line: string, window: WindowSize | undefined) => string;
}

const RUNS: Behaviour = { kind: 'runs', code: 0, afterMs: 0, termDelayMs: 0, lines: [], writes: [] };

/** What a process does, by its path and arguments (see README). Whatever isn't known runs until it is signalled. */
export function behaviourOf(spec: Pick<ProcessSpec, 'path' | 'args'>): Behaviour {
  const [first = '', second = ''] = spec.args;
  switch (spec.path) {
    case '/sim/exit':
      return { ...RUNS, kind: 'exits', code: Number(first) || 0, afterMs: Number(second) || 0 };
    case '/sim/run':
      return { ...RUNS, termDelayMs: Number(first) || 0 };
    case '/sim/print':
      return { ...RUNS, kind: 'exits', lines: spec.args };
    case '/sim/write':
      return { ...RUNS, kind: 'exits', writes: [{ path: first, content: second }] };
    case '/sim/cat':
      return { ...RUNS, answer: (line) => line };
    case '/sim/size':
      return { ...RUNS, answer: (_line, window) => `${window?.rows ?? 0} ${window?.columns ?? 0}` };
    case '/sim/missing':
      return { ...RUNS, kind: 'missing' };
    default:
      return RUNS;
  }
}
