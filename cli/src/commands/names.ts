import { DesiredLrpView } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { RiveraClient } from '@rivera/sdk/client';
import { describeFailure, isAnswer } from '../describe.js';
import { CliError, EXIT } from '../failures.js';
import type { Session } from '../session.js';
import { nearest } from '../terminal/text.js';

/** What has names. */
export type Named = 'lrp' | 'task' | 'cell' | 'domain';

/** Names that are looked at for a suggestion or a completion, at most. */
const MOST_NAMES = 2_000;
/** A suggestion is not worth a long wait. */
const PATIENCE_MS = 2_000;

/** Existing names, in order. */
export async function* namesOf(client: RiveraClient, kind: Named): AsyncGenerator<string> {
  const options = { deadlineMs: PATIENCE_MS };
  switch (kind) {
    case 'lrp':
      for await (const lrp of client.desiredLrps.list({ view: DesiredLrpView.ROUTING }, options)) yield lrp.processGuid;
      return;
    case 'task':
      for await (const task of client.tasks.list({}, options)) yield task.taskGuid;
      return;
    case 'cell':
      for await (const cell of client.cells.list({}, options)) yield cell.presence?.cellId ?? '';
      return;
    case 'domain':
      for await (const domain of client.domains.list({}, options)) yield domain.domain;
      return;
  }
}

/** The first so many. */
export async function firstNames(client: RiveraClient, kind: Named, most = MOST_NAMES): Promise<string[]> {
  const names: string[] = [];
  for await (const name of namesOf(client, kind)) {
    if (names.push(name) >= most) break;
  }
  return names;
}

/** Does something with a named thing. When there is no such thing, the failure suggests the nearest that exists. */
export async function withSuggestion<T>(
  session: Session,
  kind: Named,
  name: string,
  action: (client: RiveraClient) => Promise<T>,
): Promise<T> {
  const client = await session.client();
  try {
    return await action(client);
  } catch (error) {
    if (!isAnswer(error) || error.codeName !== 'NOT_FOUND') throw error;
    const { message, next } = describeFailure(error);
    const meant = nearest(name, await firstNames(client, kind).catch(() => []));
    throw new CliError(
      EXIT.answered,
      message,
      [...(meant === undefined || meant === name ? [] : [`Did you mean '${meant}'?`]), ...next],
      {
        cause: error,
      },
    );
  }
}
