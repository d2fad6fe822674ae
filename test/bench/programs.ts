import { Action } from '@rivera/gen/rivera/recipe/v1/action';

export function runAction(path: string, args: string[] = []): Action {
  return Action.fromPartial({ action: { $case: 'runAction', value: { path, args, user: 'root' } } } as never);
}
