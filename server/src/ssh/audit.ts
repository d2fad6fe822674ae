import { randomUUID } from 'node:crypto';
import type { Logger } from '@rivera/kit/log';
import type { Login } from './authenticator.js';
import type { Traffic } from './channel-pipe.js';

/** Who somebody says to be, and from where. */
export interface Caller {
  readonly user: string;
  readonly from: string;
}

/** Text of strangers in the record: bounded, and on one line. */
function shown(text: string): string {
  return text.slice(0, 300).replace(/\p{Cc}/gu, '?');
}

/** The record of a connection: every attempt to get in, and every channel, with who, where, how long and how many bytes. No secrets. */
export class SshAudit {
  readonly connection = randomUUID();
  private who: string | undefined;

  constructor(
    /** Undefined: the record is switched off. */
    private readonly record: Logger | undefined,
    private readonly log: Logger,
    private readonly now: () => number,
  ) {}

  refused({ user, from }: Caller, method: string, why: string): void {
    const facts = { connection: this.connection, user: shown(user), from, method, why: shown(why) };
    this.log.info(facts, 'authentication-failed');
    this.#write('login-refused', facts);
  }

  /** @returns to be called when the connection is over */
  loggedIn({ user, from }: Caller, login: Login): (facts: Traffic & { why: string }) => void {
    const since = this.now();
    this.who = login.who;
    const { processGuid, index, domain, location } = login.target;
    const facts = { user: shown(user), from, how: login.how, processGuid, index, domain, cell: location.cellId };
    this.#write('login', facts);
    return ({ why, ...end }) =>
      this.#write('logout', { from, processGuid, index, ms: this.now() - since, ...end, why: shown(why) });
  }

  /** @returns to be called when the channel is over */
  channelOpened(facts: object): (end: object) => void {
    const since = this.now();
    this.#write('channel', facts);
    return (end) => this.#write('channel-end', { ...facts, ms: this.now() - since, ...end });
  }

  /** Something that was not done, such as a forwarding. */
  channelRefused(facts: object): void {
    this.#write('channel-refused', facts);
  }

  warn(error: unknown, text: string): void {
    this.log.warn({ err: error, connection: this.connection }, text);
  }

  #write(event: string, facts: object): void {
    this.record?.info({ ssh: event, connection: this.connection, who: this.who, ...facts }, 'audit');
  }
}
