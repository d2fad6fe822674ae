import type { Program } from './program.js';

/** A span in which a server was the active BBS, by its own log. */
export interface Reign {
  readonly server: string;
  readonly epoch: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * Who led when. A server that was killed says nothing about its end: `killedAtMs` does.
 * @param killedAtMs moments of SIGKILL by name of server
 */
export function reigns(servers: readonly Program[], killedAtMs: ReadonlyMap<string, readonly number[]>): Reign[] {
  const found: Reign[] = [];
  for (const server of servers) {
    let open: { epoch: number; fromMs: number } | undefined;
    const end = (toMs: number) => {
      if (open !== undefined) found.push({ server: server.name, ...open, toMs });
      open = undefined;
    };
    for (const line of server.log().split('\n')) {
      if (!line.startsWith('{')) continue;
      const { msg, time, epoch } = JSON.parse(line) as { msg?: string; time: number | string; epoch?: number };
      const atMs = new Date(time).getTime();
      const killed = killedAtMs
        .get(server.name)
        ?.find((each) => open !== undefined && each > open.fromMs && each < atMs);
      if (killed !== undefined) end(killed);
      if (msg === 'leading') {
        end(atMs);
        open = { epoch: epoch ?? 0, fromMs: atMs };
      }
      // Lost comes before stopped: the first is when it may no longer act.
      if (msg === 'standing by' || msg === 'lease lost') end(atMs);
    }
    const { fromMs = 0 } = open ?? {};
    end(killedAtMs.get(server.name)?.find((each) => each > fromMs) ?? Number.POSITIVE_INFINITY);
  }
  return found.sort((a, b) => a.fromMs - b.fromMs);
}

/** Pairs of spans of different servers in which both led at the same time. */
export function overlaps(found: readonly Reign[]): [Reign, Reign][] {
  return found.flatMap((one, position) =>
    found
      .slice(position + 1)
      .filter((other) => other.server !== one.server && other.fromMs < one.toMs)
      .map((other): [Reign, Reign] => [one, other]),
  );
}
