import { randomBytes } from 'node:crypto';
import { TaskDefinition } from '@rivera/gen/rivera/bbs/v1/task';
import { DesireTaskRequest } from '@rivera/gen/rivera/bbs/v1/task_service';
import { messageFrom } from './document.js';
import { actionFrom, containerFrom, DEFAULTS, type WorkFlags } from './work.js';

/** What `task run` is told. */
export interface TaskFlags extends WorkFlags {
  name?: string;
  domain?: string;
  resultFile?: string;
  annotation?: string;
  callback?: string;
}

/** A spec file: `taskGuid` and `domain` beside the members of TaskDefinition. */
export interface TaskDocument {
  document: unknown;
  /** For messages. */
  source: string;
}

/**
 * The request for a Task: spec file, flags on top, defaults below.
 * @param newGuid makes the name of a Task that was given none
 */
export function taskRequest(
  flags: TaskFlags,
  command: readonly string[],
  file: TaskDocument | undefined,
  env: NodeJS.ProcessEnv,
  newGuid: () => string = newTaskGuid,
): DesireTaskRequest {
  const { head, definition } = file === undefined ? { head: undefined, definition: undefined } : split(file);
  const taskGuid = flags.name ?? (head?.taskGuid || newGuid());
  const identity = { logGuid: taskGuid, logSource: DEFAULTS.taskSource };
  const container = containerFrom(definition?.container, flags, identity, env);
  return DesireTaskRequest.fromPartial({
    taskGuid,
    domain: flags.domain ?? (head?.domain || DEFAULTS.domain),
    definition: {
      ...(definition ?? {}),
      container,
      action: actionFrom(definition?.action, command, flags, container.rootFs),
      resultFile: flags.resultFile ?? definition?.resultFile ?? '',
      annotation: flags.annotation ?? definition?.annotation ?? '',
      completionCallbackUrl: flags.callback ?? definition?.completionCallbackUrl ?? '',
    },
  });
}

/** `task-` and eight characters that nobody confuses: unique enough among the Tasks of a person. */
export function newTaskGuid(): string {
  const letters = 'abcdefghjkmnpqrstvwxyz23456789';
  return `task-${Array.from(randomBytes(8), (byte) => letters[byte % letters.length]).join('')}`;
}

/** The two members that are beside the definition; either spelling. */
function split(file: TaskDocument): { head: DesireTaskRequest; definition: TaskDefinition } {
  const isObject = typeof file.document === 'object' && file.document !== null && !Array.isArray(file.document);
  const entries = isObject ? Object.entries(file.document as Record<string, unknown>) : [];
  const isHead = (key: string) => ['taskGuid', 'task_guid', 'domain'].includes(key);
  const head = Object.fromEntries(entries.filter(([key]) => isHead(key)));
  const rest = Object.fromEntries(entries.filter(([key]) => !isHead(key)));
  return {
    head: messageFrom(DesireTaskRequest, head, file.source),
    definition: messageFrom(TaskDefinition, isObject ? rest : file.document, file.source),
  };
}
