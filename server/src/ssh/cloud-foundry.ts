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
  const token = await ask(config, {
    schema: tokenSchema,
    failed: 'Authentication failed',
    invalid: 'Authentication failed',
    url: config.tokenUrl,
    init: {
      method: 'POST',
      headers: {
        authorization: `Basic ${basic}`,
        accept: 'application/json',
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({ grant_type: 'authorization_code', code }).toString(),
    },
    // That the code is wrong is told by 4xx, and by nothing else.
    known: (status) => status < 400 || status >= 500,
    signal,
  });
  const access = await ask(config, {
    schema: accessSchema,
    failed: 'Fetching application data failed',
    invalid: 'Invalid response from Cloud Controller',
    url: `${config.authority.replace(/\/+$/, '')}/internal/apps/${appGuid}/ssh_access/${index}`,
    init: { headers: { authorization: `${token.token_type} ${token.access_token}`, accept: 'application/json' } },
    known: () => true,
    signal,
  });
  return { who: userOf(token.access_token), processGuid: access.process_guid };
}

interface Question<T> {
  readonly schema: z.ZodType<T>;
  /** Why, when there is no answer with status 200. */
  readonly failed: string;
  /** Why, when it makes no sense. */
  readonly invalid: string;
  readonly url: string;
  readonly init: RequestInit;
  /** Whether the credentials may be right all the same; status 0: nobody has answered. */
  readonly known: (status: number) => boolean;
  readonly signal: AbortSignal;
}

async function ask<T>(config: SshConfig['cf'], question: Question<T>): Promise<T> {
  const { schema, failed, invalid, url, init, known, signal } = question;
  let status = 0;
  let text: string;
  try {
    text = await inTime(config.timeout, signal, async (ended) => {
      const response = await fetch(url, { ...init, redirect: 'error', signal: ended });
      // A fetch that is aborted when all of its body has come never ends the body.
      const body = await untilAborted(bounded(response), ended);
      status = response.status;
      if (status !== 200) throw new Error(`status ${status}`);
      return body;
    });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Refused(`${failed}: ${why}`, { cause, known: known(status) });
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new Refused(invalid, { cause, known: known(status) });
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
