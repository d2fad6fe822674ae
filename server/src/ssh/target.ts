import { type DesiredLrp, DesiredLrpView } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { Action } from '@rivera/gen/rivera/recipe/v1/action';
import { RiveraError } from '@rivera/kit/errors';
import type { RiveraClient } from '@rivera/sdk/client';
import { z } from 'zod';
import type { Directory, Location } from '../access/directory.js';
import { passingErrors } from '../access/sdk-errors.js';
import type { SshConfig } from './config.js';
import { Refused } from './refused.js';

/** Route by which an LRP lets SSH in. Its value may hold secrets and is never shown. */
export const SSH_ROUTE = 'diego-ssh';
/** What the reference's daemon needs to know; here its presence is what counts. Unknown fields are fine. */
const routeSchema = z.looseObject({ container_port: z.number().int().min(1).max(65_535) });

/** The container that a login leads into. */
export interface SshTarget {
  readonly processGuid: string;
  readonly index: number;
  readonly domain: string;
  readonly logGuid: string;
  readonly location: Location;
  /** Whom processes run as: the application's user. */
  readonly user: string;
  /** The application's own variables. */
  readonly env: Readonly<Record<string, string>>;
}

/** Finds the instance, and whether it lets SSH in. @throws Refused */
export async function findTarget(
  { client, directory, config }: { client: RiveraClient; directory: Directory; config: SshConfig },
  { processGuid, index, signal }: { processGuid: string; index: number; signal: AbortSignal },
): Promise<SshTarget> {
  if (!config.enabled) throw new Refused('SSH Disabled', { known: true });
  try {
    const desired = await passingErrors(client.desiredLrps.get(processGuid, DesiredLrpView.FULL, { signal }));
    requireOpen(desired, config);
    const location = await directory.locate({ target: { $case: 'instance', value: { processGuid, index } } }, signal);
    const main = mainProcess(desired.action);
    return {
      processGuid,
      index,
      domain: desired.domain,
      logGuid: desired.container?.logGuid ?? '',
      location,
      user: main.user,
      env: main.env,
    };
  } catch (cause) {
    if (cause instanceof Refused || !(cause instanceof RiveraError)) throw cause;
    throw new Refused(`no matching ActualLRP for ProcessGuid: ${processGuid}, Index: ${index}: ${cause.message}`, {
      cause,
      known: true,
    });
  }
}

/** @throws Refused unless the LRP's route lets SSH in and the operator has nothing against it */
export function requireOpen(
  desired: Pick<DesiredLrp, 'routes' | 'domain'>,
  config: Pick<SshConfig, 'disabledDomains'>,
): void {
  if (config.disabledDomains.includes(desired.domain)) {
    throw new Refused(`SSH Disabled for domain ${desired.domain}`, { known: true });
  }
  const route = desired.routes[SSH_ROUTE];
  if (route === undefined) throw new Refused('SSH routing info not found', { known: true });
  let value: unknown;
  try {
    value = JSON.parse(route);
  } catch {
    throw new Refused('SSH routing info is not JSON', { known: true });
  }
  if (!routeSchema.safeParse(value).success) {
    throw new Refused('SSH routing info has no container_port', { known: true });
  }
}

/** The first program that an action runs: sessions are its user's and see its variables, as beside a daemon that it had started. */
export function mainProcess(action: Action | undefined): { user: string; env: Record<string, string> } {
  const found = firstRun(action);
  const env: Record<string, string> = {};
  for (const { name, value } of found?.env ?? []) if (name !== 'PATH') env[name] = value;
  return { user: found?.user ?? '', env };
}

interface Run {
  user: string;
  env: readonly { name: string; value: string }[];
}

function firstRun(action: Action | undefined): Run | undefined {
  const it = action?.action;
  switch (it?.$case) {
    case 'runAction':
      return it.value;
    case 'timeoutAction':
    case 'emitProgressAction':
    case 'tryAction':
      return firstRun(it.value.action);
    case 'parallelAction':
    case 'serialAction':
    case 'codependentAction':
      return it.value.actions.map(firstRun).find((run) => run !== undefined);
    default:
      return undefined;
  }
}
