import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { rootCertificates } from 'node:tls';
import { inTime } from '@rivera/kit/in-time';
import type { TaskRow } from '../core/model.js';

/** TLS material that a callback over https presents and trusts in addition to the system's. */
export interface CallbackTls {
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

/** The body of a completion callback (spec bbs §3.6). */
export function callbackBody(task: TaskRow): string {
  return JSON.stringify({
    task_guid: task.guid,
    failed: task.failed,
    failure_reason: task.failureReason,
    result: task.result,
    ...(task.annotation !== '' && { annotation: task.annotation }),
    created_at: task.createdAtMs * 1_000_000,
  });
}

/** POSTs a completion; resolves with the HTTP status. @throws when nothing answered in time */
export function deliver(
  task: TaskRow,
  options: { tls?: CallbackTls; timeoutMs: number; signal: AbortSignal },
): Promise<number> {
  const url = new URL(task.callbackUrl);
  const body = Buffer.from(callbackBody(task));
  const { tls } = options;
  return inTime(options.timeoutMs, options.signal, (signal) => post(url, { body, tls, signal }));
}

function post(
  url: URL,
  { body, tls, signal }: { body: Buffer; tls: CallbackTls | undefined; signal: AbortSignal },
): Promise<number> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = send(
      url,
      {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': body.length },
        signal,
        ...(tls && { ca: [...rootCertificates, tls.caPem], cert: tls.certPem, key: tls.keyPem }),
      },
      (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode ?? 0));
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}
