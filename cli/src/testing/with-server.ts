import { EventServiceService as events, WatchResponse } from '@rivera/gen/rivera/bbs/v1/event_service';
import type { Input } from '@rivera/sdk/client';
import type { FakeServer } from '@rivera/sdk/testing/fake-server';
import { Setting } from '@rivera/sdk/testing/setting';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { environmentOf, NOW } from './fake-installation.js';
import { type Outside, runHere, type Said } from './terminal.js';

/** A scripted server for the tests of a file, fresh for each, and commands that find it. */
export class WithServer {
  #setting: Setting | undefined;
  #server: FakeServer | undefined;

  /** Call at the top of a test file. */
  constructor() {
    beforeAll(async () => {
      this.#setting = await Setting.make();
    });
    beforeEach(async () => {
      this.#server = await this.#setting?.server();
    });
    afterEach(() => this.#setting?.endTest());
    afterAll(() => this.#setting?.end());
  }

  get server(): FakeServer {
    if (this.#server === undefined) throw new Error('only within a test');
    return this.#server;
  }

  /** Runs a command line against the server. */
  async rivera(args: readonly string[], outside: Outside = {}): Promise<Said> {
    if (this.#setting === undefined) throw new Error('only within a test');
    return runHere(args, { env: environmentOf(this.server, this.#setting.clientFiles), now: NOW, ...outside });
  }

  /** Nobody answers any more. */
  stopServer(): void {
    this.#setting?.endTest();
  }

  /** Scripts a watch that says this and then stays open. */
  watching(...responses: Input<WatchResponse>[]) {
    return this.server.streaming(events.watch, async (call) => {
      for (const response of responses) call.write(WatchResponse.fromPartial(response));
      await untilCancelled(call);
    });
  }
}

/** The client of a streaming call has gone. */
export function untilCancelled(call: NodeJS.EventEmitter): Promise<void> {
  return new Promise((resolve) => call.once('cancelled', () => resolve()));
}
