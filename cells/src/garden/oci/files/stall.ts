import { Transform } from 'node:stream';
import type { Clock } from '@rivera/kit/clock';

/** How long a stream may stand still, and by whose time. */
export interface Patience {
  clock: Clock;
  idleMs: number;
}

/** A stream that passes on what it gets, and tells when for so long no byte has passed; until `done`, also after its end. */
export interface WatchedStream {
  stream: Transform;
  done(): void;
}

/** Whoever stands still, the one that writes or the one that reads, holds a process in a container and memory here. */
export function watched({ clock, idleMs }: Patience, stalled: () => void): WatchedStream {
  let movedMs = clock.now();
  let cancel = (): void => {};
  const arm = (ms: number): void => {
    cancel = clock.setTimer(ms, () => {
      const stillMs = clock.now() - movedMs;
      if (stillMs >= idleMs) stalled();
      else arm(idleMs - stillMs);
    });
  };
  arm(idleMs);
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, passOn) {
      movedMs = clock.now();
      passOn(null, chunk);
    },
  });
  return { stream, done: () => cancel() };
}
