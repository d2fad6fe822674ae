import { link, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { hasCode, isMissing, namesIn } from '../../../kernel/durable.js';
import { GardenError, type PortMapping } from '../../garden.js';

/** Who has a host port. */
interface Claim {
  cellId: string;
  handle: string;
  dataDir: string;
}

/** Claims of all gardens of this machine, one file a port; emptied by a reboot, as are the containers. */
const CLAIMS_DIR = '/run/rivera/ports';

/**
 * Host ports. A port belongs to whoever made its file first, which holds between gardens of one machine and over restarts.
 * Ports are taken round the range, so that one just freed is the last to be used again.
 */
export class PortPool {
  private next: number;

  constructor(
    private readonly owner: { cellId: string; dataDir: string },
    private readonly range: { first: number; last: number },
    private readonly dir = CLAIMS_DIR,
  ) {
    // Somewhere in the range: after a restart nobody remembers which ports were freed last.
    this.next = range.first + Math.floor(Math.random() * (range.last - range.first + 1));
  }

  /** @throws GardenError `no-ports` when the range is used up; nothing is kept then */
  async take(handle: string, containerPorts: number[]): Promise<PortMapping[]> {
    const wanted = [...new Set(containerPorts)];
    if (wanted.length === 0) return [];
    return this.claiming(handle, (content) => this.takeAll(wanted, content));
  }

  /**
   * Host port 0 or none: any of the range; container port 0 or none: the same as on the host. One that is asked for may lie outside
   * the range.
   * @throws GardenError `no-ports` when the port is taken, or the range used up
   */
  async takeOne(handle: string, wanted: Partial<PortMapping>): Promise<PortMapping> {
    const { hostPort = 0, containerPort = 0 } = wanted;
    return this.claiming(handle, async (content) => {
      if (hostPort !== 0) {
        if (await this.claim(hostPort, content)) return { hostPort, containerPort: containerPort || hostPort };
        throw new GardenError('no-ports', `port already acquired: ${hostPort}`);
      }
      const [any] = await this.takeAll([containerPort], content);
      if (any === undefined) throw new Error('a port was taken and is not there');
      return { hostPort: any.hostPort, containerPort: containerPort || any.hostPort };
    });
  }

  /** A claim appears whole or not at all: its content is written beforehand and linked to the port's name. */
  private async claiming<T>(handle: string, work: (content: string) => Promise<T>): Promise<T> {
    await mkdir(this.dir, { recursive: true });
    const content = join(this.dir, `.${this.owner.cellId}.${handle}`);
    await writeFile(content, JSON.stringify({ ...this.owner, handle } satisfies Claim));
    try {
      return await work(content);
    } finally {
      await rm(content, { force: true });
    }
  }

  private async takeAll(wanted: number[], content: string): Promise<PortMapping[]> {
    const taken: PortMapping[] = [];
    const size = this.range.last - this.range.first + 1;
    for (let tried = 0; tried < size && taken.length < wanted.length; tried++) {
      const hostPort = this.next;
      this.next = hostPort >= this.range.last ? this.range.first : hostPort + 1;
      const containerPort = wanted[taken.length];
      if (containerPort !== undefined && (await this.claim(hostPort, content))) taken.push({ hostPort, containerPort });
    }
    if (taken.length === wanted.length) return taken;
    await Promise.all(taken.map((mapping) => this.unclaim(mapping.hostPort)));
    throw new GardenError(
      'no-ports',
      `no ${wanted.length} free host ports between ${this.range.first} and ${this.range.last}`,
    );
  }

  /** Frees all ports of a container; those that are known needn't be searched for. */
  async release(handle: string, known?: PortMapping[]): Promise<void> {
    const ports = known?.map((mapping) => String(mapping.hostPort));
    if (ports) {
      // After a reboot a port may have become somebody else's.
      for (const port of ports) if (this.isOwn(await this.read(port), handle)) await this.unclaim(Number(port));
    } else for (const claim of await this.claims()) if (claim.handle === handle) await this.unclaim(claim.port);
  }

  /** Frees the ports that containers claimed and don't have, as an agent that was killed leaves them; those of others are left alone. */
  async keepOnly(containers: ReadonlyMap<string, readonly PortMapping[]>): Promise<void> {
    for (const { port, handle } of await this.claims()) {
      const known = containers.get(handle);
      if (known && !known.some(({ hostPort }) => hostPort === port)) await this.unclaim(port);
    }
  }

  /** What this cell has. */
  async claims(): Promise<{ port: number; handle: string }[]> {
    const own = [];
    for (const name of (await namesIn(this.dir)).filter((entry) => /^\d+$/.test(entry))) {
      const claim = await this.read(name);
      if (claim !== undefined && this.isMine(claim)) own.push({ port: Number(name), handle: claim.handle });
    }
    return own;
  }

  private async claim(port: number, content: string): Promise<boolean> {
    try {
      await link(content, join(this.dir, String(port)));
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
      await this.dropIfOwnerless(port);
      return false;
    }
    if (await isFree(port)) return true;
    await this.unclaim(port);
    return false;
  }

  /** A cell whose data folder was thrown away frees its ports by that; they can be taken the next time round. */
  private async dropIfOwnerless(port: number): Promise<void> {
    const claim = await this.read(String(port));
    if (!claim) return;
    const exists = await stat(claim.dataDir).then(
      () => true,
      (error: unknown) => !isMissing(error),
    );
    if (!exists) await this.unclaim(port);
  }

  private isOwn(claim: Claim | undefined, handle: string): boolean {
    return claim !== undefined && this.isMine(claim) && claim.handle === handle;
  }

  /** Another installation on this machine may have a cell of the same name. */
  private isMine(claim: Claim): boolean {
    return claim.cellId === this.owner.cellId && claim.dataDir === this.owner.dataDir;
  }

  private async unclaim(port: number): Promise<void> {
    await rm(join(this.dir, String(port)), { force: true });
  }

  private async read(name: string): Promise<Claim | undefined> {
    try {
      return JSON.parse(await readFile(join(this.dir, name), 'utf8')) as Claim;
    } catch (error) {
      // Removed at this moment by somebody else.
      if (isMissing(error)) return undefined;
      throw error;
    }
  }
}

/** Whether nothing on the host listens on a port, in either family: a mapping would steal its callers. */
async function isFree(port: number): Promise<boolean> {
  return (await canListen(port, '0.0.0.0')) && (await canListen(port, '::'));
}

function canListen(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    // A host without IPv6 has nobody who listens there.
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL'),
    );
    server.listen({ port, host, ipv6Only: host === '::', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
