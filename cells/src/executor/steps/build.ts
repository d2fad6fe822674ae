import type { Action, RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import { durationMs } from '../duration-text.js';
import { CodependentStep, ParallelStep, SerialStep, TryStep } from './composite-steps.js';
import { DownloadStep } from './download-step.js';
import { EmitProgressStep } from './emit-progress-step.js';
import type { Step, StepContext } from './step.js';
import { TimeoutStep } from './timeout-step.js';
import { UploadStep } from './upload-step.js';

const MAX_DEPTH = 32;

/** A recipe that can't be carried out. Its text is fit for users. */
export class RecipeError extends Error {
  override readonly name = 'RecipeError';
}

/** Where an action stands in its recipe. */
export interface Place {
  /** Path of indices, such as `action.1.0`: the same for the same recipe, whoever builds it. */
  id: string;
  /** Source of log lines unless the action has its own; empty: the container's default. */
  logSource: string;
  depth?: number;
}

type MakeRun = (id: string, action: RunAction, logSource: string) => Step;

/** Makes the steps of an action. @throws RecipeError */
export function buildStep(action: Action | undefined, place: Place, context: StepContext, makeRun: MakeRun): Step {
  const { id, logSource, depth = 0 } = place;
  const inner = action?.action;
  if (!inner) throw new RecipeError('container cannot have empty action');
  if (depth >= MAX_DEPTH) throw new RecipeError(`actions are nested more than ${MAX_DEPTH} levels deep`);
  const child = (of: Action | undefined, index: number, source: string): Step =>
    buildStep(of, { id: `${id}.${index}`, logSource: source || logSource, depth: depth + 1 }, context, makeRun);
  const children = (of: readonly Action[], source: string): Step[] => {
    if (of.length === 0) throw new RecipeError('container cannot have empty action');
    return of.map((one, index) => child(one, index, source));
  };
  switch (inner.$case) {
    case 'runAction':
      return makeRun(id, inner.value, logSource);
    case 'downloadAction':
      return new DownloadStep(id, inner.value, logSource, context);
    case 'uploadAction':
      return new UploadStep(id, inner.value, logSource, context);
    case 'timeoutAction':
      return new TimeoutStep(
        id,
        child(inner.value.action, 0, inner.value.logSource),
        durationMs(inner.value.timeout) ?? 0,
        context,
      );
    case 'emitProgressAction':
      // Its log source is for its own lines alone.
      return new EmitProgressStep(id, child(inner.value.action, 0, ''), inner.value, logSource, context);
    case 'tryAction':
      return new TryStep(child(inner.value.action, 0, inner.value.logSource));
    case 'parallelAction':
      return new ParallelStep(id, children(inner.value.actions, inner.value.logSource), context);
    case 'serialAction':
      return new SerialStep(children(inner.value.actions, inner.value.logSource));
    case 'codependentAction':
      return new CodependentStep(id, children(inner.value.actions, inner.value.logSource), context);
  }
}

/** All run actions within an action. */
export function runActionsOf(action: Action | undefined): RunAction[] {
  const inner = action?.action;
  switch (inner?.$case) {
    case 'runAction':
      return [inner.value];
    case 'timeoutAction':
    case 'emitProgressAction':
    case 'tryAction':
      return runActionsOf(inner.value.action);
    case 'parallelAction':
    case 'serialAction':
    case 'codependentAction':
      return inner.value.actions.flatMap(runActionsOf);
    default:
      return [];
  }
}
