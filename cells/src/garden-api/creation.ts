import { randomUUID } from 'node:crypto';
import type { Container } from '@rivera/gen/rivera/garden/v1/container';
import type * as Api from '@rivera/gen/rivera/garden/v1/garden_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext } from '@rivera/kit/grpc/host';
import type { GardenContainer, ImageFetching } from '../garden/garden.js';
import { Gate } from '../garden/gate.js';
import type { Park } from './containers.js';
import { toRiveraError } from './errors.js';
import { specFrom } from './messages.js';
import { requireSpec } from './validate.js';

/** Sentences that wait for a slow client; one comes every other second, so it is some minutes behind then. */
const MAX_WAITING = 100;

/** Makes containers for clients, and no more than there may be. */
export class Creation {
  /** Containers that are being made beside those that exist. */
  private making = 0;

  constructor(
    private readonly park: Park,
    private readonly shown: (container: GardenContainer) => Promise<Container>,
  ) {}

  /** @throws RiveraError */
  async make(
    { spec, imageCredentials }: Api.CreateContainerRequest,
    fetching: Pick<ImageFetching, 'signal' | 'progress'>,
  ): Promise<Container> {
    if (!spec)
      throw new RiveraError('INVALID_REQUEST', 'spec is required', {
        violations: [{ field: 'spec', description: 'is required' }],
      });
    requireSpec(spec);
    const handle = spec.handle || randomUUID();
    const { garden } = this.park;
    try {
      const { containers: most } = await garden.capacity();
      if (garden.list().length + this.making >= most)
        throw new RiveraError('TOO_MANY_CONTAINERS', 'max containers reached', { metadata: { most: String(most) } });
      this.making++;
      try {
        const credentials = imageCredentials && {
          username: imageCredentials.username,
          password: imageCredentials.password,
        };
        const container = await garden.create(specFrom(spec, handle), {
          ...fetching,
          ...(credentials && { credentials }),
        });
        return await this.shown(container);
      } finally {
        this.making--;
      }
    } catch (error) {
      throw toRiveraError(error, handle);
    }
  }

  /** The same, with how it goes. */
  async *makeAndTell(
    request: Api.CreateContainerWithProgressRequest,
    { signal }: CallContext,
  ): AsyncIterable<Api.CreateContainerWithProgressResponse> {
    const waiting: string[] = [];
    const changed = new Gate();
    const progress = (text: string): void => {
      waiting.push(text);
      if (waiting.length > MAX_WAITING) waiting.shift();
      changed.open();
    };
    let over = false;
    const made = this.make(request, { signal, progress }).finally(() => {
      over = true;
      changed.open();
    });
    // A client that goes away while it is told something doesn't come to hear of it.
    made.catch(() => undefined);
    for (;;) {
      const change = changed.next();
      for (let text = waiting.shift(); text !== undefined; text = waiting.shift())
        yield { event: { $case: 'progress', value: text } };
      if (over) break;
      await change;
    }
    yield { event: { $case: 'container', value: await made } };
  }
}
