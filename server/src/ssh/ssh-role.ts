import { unary } from '@rivera/kit/grpc/dial';
import type { Logger } from '@rivera/kit/log';
import type { RiveraClient } from '@rivera/sdk/client';
import type { CellClients } from '../access/cell-clients.js';
import type { Directory } from '../access/directory.js';
import type { Database } from '../database/pool.js';
import { Authenticator, type Login } from './authenticator.js';
import type { SshConfig } from './config.js';
import { listenForHealth } from './health.js';
import type { HostKey } from './host-key.js';
import { loadHostKey } from './host-key.js';
import { Lockout } from './lockout.js';
import type { SshMetrics } from './metrics.js';
import { SshProxy } from './proxy.js';
import { PublicKeys } from './public-keys.js';
import { sshService } from './ssh-service.js';
import { SshStore } from './store.js';
import { findTarget } from './target.js';

export interface SshRoleParts {
  readonly config: SshConfig;
  readonly client: RiveraClient;
  readonly directory: Directory;
  readonly cells: CellClients;
  readonly database: Database;
  readonly metrics: SshMetrics;
  readonly log: Logger;
  readonly auditLog: Logger | undefined;
}

/** The SSH proxy as a role of a server. */
export class SshRole {
  readonly #proxy: SshProxy;
  readonly #store: SshStore;
  readonly #hostKey: HostKey;
  #closeHealth: (() => Promise<void>) | undefined;

  /** @throws Error when there is no usable host key */
  constructor(private readonly parts: SshRoleParts) {
    const { config, client, directory, cells, log } = parts;
    if (config.hostKey === '') throw new Error('role ssh needs ssh.hostKey, the file of its host key');
    this.#hostKey = loadHostKey(config.hostKey);
    this.#store = new SshStore(parts.database);
    const { failures, window: windowMs, duration: durationMs } = config.lockout;
    const cellOf = ({ target }: Login) => cells.get(target.location.cellId, target.location.address);
    this.#proxy = new SshProxy({
      config,
      hostKey: this.#hostKey,
      log,
      auditLog: parts.auditLog,
      metrics: parts.metrics,
      authenticator: new Authenticator({
        config,
        store: this.#store,
        keys: new PublicKeys(this.#store, config.authorizedKeys, (facts, text) => log.warn(facts, text)),
        lockout: new Lockout({ failures, windowMs, durationMs }, Date.now),
        findTarget: (wanted) => findTarget({ client, directory, config }, wanted),
      }),
      cellOf,
      tell: ({ target, ...login }, text) => {
        const request = { target: target.location.target, source: 'SSH', text, logGuid: target.logGuid };
        const write = async () => {
          const cell = cellOf({ target, ...login });
          await unary(cell, cell.writeLog, request);
        };
        // The session matters more than the line about it.
        write().catch((error: unknown) => log.debug({ err: error }, 'no line in the log of the application'));
      },
    });
  }

  /**
   * Opens the port.
   * @param serverAddress host:port of this server, whose host is told where SSH listens on all addresses
   * @returns handlers of the service
   */
  async start(serverAddress: string): Promise<ReturnType<typeof sshService>> {
    const { config, log } = this.parts;
    const port = await this.#proxy.listen(config.listen);
    if (config.healthListen !== '') this.#closeHealth = await listenForHealth(config.healthListen);
    const listens = config.listen.slice(0, config.listen.lastIndexOf(':'));
    const host = ['', '0.0.0.0', '[::]'].includes(listens) ? serverAddress.replace(/:\d+$/, '') : listens;
    const address = config.advertise || `${host}:${port}`;
    log.info({ address, fingerprint: this.#hostKey.fingerprint }, 'SSH listens');
    return this.service(address);
  }

  /** Handlers of the service, which tell of proxies at an address; the port need not be open here. */
  service(address: string): ReturnType<typeof sshService> {
    const { enabled, codeTtl: codeTtlMs } = this.parts.config;
    return sshService({ store: this.#store, hostKey: this.#hostKey, address, enabled, codeTtlMs });
  }

  async close(): Promise<void> {
    await this.#closeHealth?.();
    await this.#proxy.close();
  }
}
