import { LogStream } from '@rivera/gen/rivera/rep/v1/container';
import type { WriteLogRequest } from '@rivera/gen/rivera/rep/v1/rep_service';
import { RiveraError } from '@rivera/kit/errors';
import type { Executor } from '../executor/executor.js';
import { findLiveContainer } from './container-target.js';
import { targetOf } from './work.js';

const MAX_TEXT = 1_024;

/** Writes a line to the log of a container, as the platform's own word. */
export function writeLog(executor: Executor, { target, source, text, logGuid }: WriteLogRequest): void {
  if (text === '' || text.length > MAX_TEXT || source === '') {
    throw new RiveraError(
      'INVALID_REQUEST',
      `source and text are needed, the text with at most ${MAX_TEXT} characters`,
    );
  }
  const container = findLiveContainer(executor, target);
  if (logGuid === '') return;
  const of = targetOf(container)?.target;
  executor.logs.append({
    time: new Date(),
    logGuid,
    processGuid: of?.$case === 'instance' ? of.value.processGuid : '',
    taskGuid: of?.$case === 'taskGuid' ? of.value : '',
    index: of?.$case === 'instance' ? of.value.index : 0,
    containerGuid: container.guid,
    source,
    stream: LogStream.STDOUT,
    payload: Buffer.from(text),
    tags: { ...container.metricTags },
  });
}
