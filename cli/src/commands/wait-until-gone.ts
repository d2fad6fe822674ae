import type { ActualLrp } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { LrpView } from '@rivera/sdk/api/wait-for-running';
import { CliError, EXIT } from '../failures.js';
import type { Session } from '../session.js';
import { Progress } from '../terminal/progress.js';
import { count } from '../terminal/text.js';
import { formatTook } from '../terminal/time.js';
import { instanceState } from './states.js';
import { lateAfter, WAIT_MS } from './waiting.js';

/**
 * Waits until no instance of these LRPs is left, one LRP after the other, showing how far it is.
 * @throws CliError (failed) when some are left after the time
 */
export async function untilGone(session: Session, names: readonly string[], timeoutMs = WAIT_MS): Promise<void> {
  const late = lateAfter(timeoutMs);
  const progress = new Progress(session.out);
  try {
    for (const name of names) {
      await follow(session, name, late, (left) => progress.show(`${name}: ${count(left, 'instance')} left`));
    }
  } catch (error) {
    if (!(error instanceof LeftOver)) throw error;
    throw new CliError(
      EXIT.failed,
      `${error.process}: ${count(error.left.length, 'instance')} not gone after ${formatTook(timeoutMs)}`,
      [
        ...error.left.slice(0, 5).map((lrp) => `#${lrp.key?.index ?? 0} ${instanceState(lrp)} on ${lrp.cellId}`),
        'It is removed all the same; what is left goes when its cell has stopped it, or is given up as lost.',
        'See how the cells are:  rivera cells',
      ],
      { cause: error },
    );
  } finally {
    progress.done();
  }
}

/** Time is over, and these are left. */
class LeftOver extends Error {
  constructor(
    readonly process: string,
    readonly left: readonly ActualLrp[],
  ) {
    super('instances are left');
  }
}

async function follow(
  session: Session,
  name: string,
  late: AbortSignal,
  onProgress: (left: number) => void,
): Promise<void> {
  const client = await session.client();
  const view = new LrpView(0);
  try {
    const watched = { snapshot: true, kinds: [EventKind.ACTUAL_LRP], processGuids: [name] };
    for await (const item of client.watch({ ...watched, signal: AbortSignal.any([session.signal, late]) })) {
      view.take(item);
      if (!view.whole) continue;
      const left = view.progress().instances.length;
      if (left === 0) return;
      onProgress(left);
    }
  } catch (error) {
    if (!late.aborted || session.signal.aborted) throw error;
    throw new LeftOver(name, view.progress().instances);
  }
}
