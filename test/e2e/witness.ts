import { randomUUID } from 'node:crypto';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * Outside of everything that a test kills, and told by each process of a Task that it runs: how often was it really run? It can
 * also keep such a process waiting for its answer, so that a test decides when the process ends.
 */
export class Witness {
  private readonly seen = new Map<string, number>();
  private readonly kept = new Map<string, ServerResponse[]>();
  /** Nobody else on this machine's network guesses it. */
  private readonly secret = randomUUID();

  private constructor(private readonly server: Server) {}

  static async start(): Promise<Witness> {
    const server = createServer((request, response) => witness.hear(request.url ?? '', response));
    const witness: Witness = new Witness(server);
    // All addresses, as the bridges through which containers come are made later.
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '0.0.0.0', resolve));
    return witness;
  }

  /** What a Task's shell runs: it reports, and then has a result. A process that can't report fails with 99. */
  script(taskGuid: string, o: { wait?: boolean } = {}): string {
    const { port } = this.server.address() as AddressInfo;
    const path = `${this.secret}/${taskGuid}${o.wait ? '/wait' : ''}`;
    const report = `wget -q -O /dev/null "http://$(ip route | awk '/^default/ { print $3 }'):${port}/${path}"`;
    return `${report} || exit 99; echo -n "${taskGuid}" > /tmp/result`;
  }

  /** How many processes of a Task have reported. */
  runs(taskGuid: string): number {
    return this.seen.get(taskGuid) ?? 0;
  }

  /** Answers those of a Task that wait. */
  release(taskGuid: string): void {
    for (const response of this.kept.get(taskGuid) ?? []) response.end();
    this.kept.delete(taskGuid);
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private hear(url: string, response: ServerResponse): void {
    const [, secret, taskGuid, wait] = url.split('/');
    if (secret !== this.secret || taskGuid === undefined) {
      response.writeHead(404).end();
      return;
    }
    this.seen.set(taskGuid, this.runs(taskGuid) + 1);
    if (wait === undefined) response.end();
    else this.kept.set(taskGuid, [...(this.kept.get(taskGuid) ?? []), response]);
  }
}
