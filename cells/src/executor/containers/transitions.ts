import type { ContainerNetwork, ContainerRecord, ContainerState, RunResult } from '../executor.js';

/** From where to where a container goes (spec cell §15); what isn't here can't happen. Completed is for ever. */
const NEXT: { readonly [from in ContainerState]: readonly ContainerState[] } = {
  reserved: ['initializing', 'completed'],
  initializing: ['created', 'completed'],
  created: ['running', 'completed'],
  running: ['completed'],
  completed: [],
};

/** What happens to a container. */
export type Transition =
  | { to: 'initializing'; internalRoutes: readonly string[]; metricTags: Readonly<Record<string, string>> }
  | { to: 'created'; network: ContainerNetwork }
  | { to: 'running'; routable: boolean }
  | { to: 'completed'; result: RunResult };

const MAX_REASON = 10_000;
const CUT = '\n... (truncated)\n';

/** The record afterwards; undefined when the container can't go there from where it is. */
export function transition(record: ContainerRecord, change: Transition): ContainerRecord | undefined {
  if (!NEXT[record.state].includes(change.to)) return undefined;
  switch (change.to) {
    case 'initializing':
      return { ...record, state: 'initializing', internalRoutes: change.internalRoutes, metricTags: change.metricTags };
    case 'created':
      return { ...record, state: 'created', network: change.network };
    case 'running':
      return { ...record, state: 'running', routable: change.routable };
    case 'completed':
      return {
        ...record,
        state: 'completed',
        routable: false,
        result: { ...change.result, failureReason: shortened(change.result.failureReason) },
      };
  }
}

/** A reason of bearable length: the middle goes, as both ends say most. */
function shortened(reason: string): string {
  if (reason.length <= MAX_REASON) return reason;
  const kept = MAX_REASON - CUT.length;
  return `${reason.slice(0, Math.ceil(kept / 2))}${CUT}${reason.slice(-Math.floor(kept / 2))}`;
}
