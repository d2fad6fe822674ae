import { inTime } from '@rivera/kit/in-time';
import { untilAborted } from '@rivera/kit/single-flight';
import { z } from 'zod';
import type { SshConfig } from './config.js';
import { Refused } from './refused.js';

const MAX_ANSWER_BYTES = 256 * 1024;
const tokenSchema = z.object({ access_token: z.string().min(1), token_type: z.string().min(1) });
const accessSchema = z.object({ process_guid: z.string().regex(/^[A-Za-z0-9_-]{1,255}$/) });

/** Who somebody is and what the name leads to. */
export interface CfAccess {
  readonly who: string;
  readonly processGuid: string;
}

/**
 * Changes the one-time code for a token and asks the authority whether its owner may reach the instance: one question each, and no
 * second try, as the code is used up (spec access §2.2). @throws Refused
 */
export async function askCloudFoundry(
  config: SshConfig['cf'],
  { appGuid, index, code, signal }: { appGuid: string; index: number; code: string; signal: AbortSignal },
): Promise<CfAccess> {
  const basic = Buffer.from(`${config.clientId}:${config.clientSecret}`).toString('base64');
  const token = await ask(
    tokenSchema,
    'Authentication failed',
    'Authentication failed',
    config,
    signal,
    config.tokenUrl,
    {
      method: 'POST',
      headers: {
        authorization: `Basic ${basic}`,
        accept: 'application/json',
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({ grant_type: 'authorization_code', code }).toString(),
    },
  );
  const url = `${config.authority.replace(/\/+$/, '')}/internal/apps/${appGuid}/ssh_access/${index}`;
  const access = await ask(
    accessSchema,
    'Fetching application data failed',
    'Invalid response from Cloud Controller',
    config,
    signal,
    url,
    { headers: { authorization: `${token.token_type} ${token.access_token}`, accept: 'application/json' } },
  );
  return { who: userOf(token.access_token), processGuid: access.process_guid };
}

async function ask<T>(
  schema: z.ZodType<T>,
  failed: string,
  invalid: string,
  config: SshConfig['cf'],
  signal: AbortSignal,
  url: string,
  init: RequestInit,
): Promise<T> {
  let text: string;
  try {
    text = await inTime(config.timeout, signal, async (ended) => {
      const response = await fetch(url, { ...init, redirect: 'error', signal: ended });
      // A fetch that is aborted when all of its body has come never ends the body.
      const body = await untilAborted(bounded(response), ended);
      if (response.status !== 200) throw new Error(`status ${response.status}`);
      return body;
    });
  } catch (cause) {
    throw new Refused(`${failed}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new Refused(invalid, { cause });
  }
}

async function bounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error(`the answer has more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** For the audit alone: the authority has judged the token, nobody else has to. */
function userOf(token: string): string {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    const claims = z.object({ user_name: z.string().optional(), user_id: z.string().optional() }).parse(payload);
    return (claims.user_name ?? claims.user_id ?? 'unknown').slice(0, 255);
  } catch {
    return 'unknown';
  }
}
