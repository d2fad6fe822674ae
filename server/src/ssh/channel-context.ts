import type { RepServiceClient } from '@rivera/gen/rivera/rep/v1/rep_service';
import type { SshAudit } from './audit.js';
import type { Login } from './authenticator.js';
import type { Traffic } from './channel-pipe.js';
import type { SshConfig } from './config.js';
import type { Recordings } from './recordings.js';
import type { Wire } from './wire.js';

/** What the channels of a connection share. */
export interface ChannelContext {
  readonly config: SshConfig;
  readonly login: Login;
  readonly cell: RepServiceClient;
  readonly audit: SshAudit;
  readonly wire: Wire;
  /** Where terminal sessions are recorded; undefined: nowhere. */
  readonly recordings: Recordings | undefined;
  /** The connection is gone. */
  readonly signal: AbortSignal;
  /** The connection is about to end; its reason is a text for people. */
  readonly leaving: AbortSignal;
  /** Counts a channel as open; false: there are too many. */
  readonly enter: () => boolean;
  readonly leave: () => void;
  /** Bytes have moved. */
  readonly active: () => void;
  /** Counts the bytes of a channel that has ended. */
  readonly count: (traffic: Traffic) => void;
  /** The container is gone, and with it the use of the connection. */
  readonly end: (why: string) => void;
  /** Something that has to be over before the connection is. */
  readonly follow: (work: Promise<void>) => void;
}

/** What a client hears when it has as many channels as it may. */
export const TOO_MANY = 'too many channels';

/** Counts the channels of a connection, of whatever kind. */
export class ChannelCount {
  #open = 0;

  constructor(private readonly most: number) {}

  get open(): number {
    return this.#open;
  }

  enter(): boolean {
    if (this.#open >= this.most) return false;
    this.#open++;
    return true;
  }

  leave(): void {
    this.#open--;
  }
}
