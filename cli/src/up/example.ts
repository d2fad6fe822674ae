import { setTimeout as sleep } from 'node:timers/promises';
import { type ActualLrp, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { inTime } from '@rivera/kit/in-time';
import { untilAborted } from '@rivera/kit/single-flight';
import type { RiveraClient } from '@rivera/sdk/client';
import { addressesOf } from '../commands/states.js';
import { isAnswer } from '../describe.js';
import { localError } from '../failures.js';
import { SSH_ROUTE } from '../recipe/lrp-spec.js';

const NAME = 'hello';
const DOMAIN = 'example';
const PORT = 8080;
/** Time for the example to come up. */
const PATIENCE_MS = 90_000;
/** And for one answer of it. */
const ANSWER_MS = 2_000;

/** A page that says which instance answers; made by the instance itself from what the cell tells it. */
const SCRIPT = `mkdir -p /tmp/www
cat > /tmp/www/index.html <<END
<!doctype html>
<title>hello from Rivera</title>
<h1>hello from instance $INSTANCE_INDEX</h1>
<p>instance $INSTANCE_GUID<br>port ${PORT} in the container, $CF_INSTANCE_PORT on the cell</p>
END
echo "instance $INSTANCE_INDEX serves on port ${PORT}"
exec httpd -f -p ${PORT} -h /tmp/www`;

/** The example: a web page from busybox's own web server. */
export function exampleLrp(): DesiredLrp {
  return DesiredLrp.fromPartial({
    processGuid: NAME,
    domain: DOMAIN,
    instances: 1,
    container: {
      rootFs: 'preloaded:busybox',
      memoryMb: 32,
      diskMb: 64,
      maxPids: 64,
      logGuid: NAME,
      logSource: 'APP',
    },
    action: { action: { $case: 'runAction', value: { path: 'sh', args: ['-c', SCRIPT], user: 'root' } } },
    checkDefinition: { checks: [{ probe: { $case: 'httpCheck', value: { port: PORT, path: '/' } } }] },
    startTimeout: { seconds: 60, nanos: 0 },
    ports: [PORT],
    routes: { ...SSH_ROUTE },
  });
}

/** What became of the example. */
export type Example =
  | { kind: 'answers'; name: string; url: string }
  /** The user has scaled it to nothing, or put something of their own in its place. */
  | { kind: 'left-alone'; why: string };

/**
 * Desires the example unless it is there, and waits until it answers over HTTP.
 * @throws CliError (local) when it does not in time
 */
export async function startExample(client: RiveraClient, signal: AbortSignal): Promise<Example> {
  const lrp = await desiredExample(client, signal);
  if (lrp.domain !== DOMAIN) return { kind: 'left-alone', why: `an LRP of yours is called ${NAME}` };
  if (lrp.instances === 0) return { kind: 'left-alone', why: `${NAME} is scaled to 0` };
  const started = performance.now();
  await client.actualLrps.waitForRunning(NAME, { instances: 1, signal, timeoutMs: PATIENCE_MS });
  while (performance.now() - started < PATIENCE_MS) {
    // Asked anew each time: an instance may be replaced meanwhile, and then it answers elsewhere.
    for await (const instance of client.actualLrps.list({ processGuids: [NAME] }, { signal })) {
      const url = urlOf(instance);
      if (url !== undefined && (await answers(url, signal))) return { kind: 'answers', name: NAME, url };
    }
    await sleep(100, undefined, { signal });
  }
  throw localError(`the example app runs but does not answer over HTTP`, [
    `See its log:    rivera logs ${NAME}`,
    `See its state:  rivera lrp show ${NAME}`,
  ]);
}

async function desiredExample(client: RiveraClient, signal: AbortSignal): Promise<DesiredLrp> {
  try {
    return await client.desiredLrps.get(NAME, undefined, { signal });
  } catch (error) {
    if (!isAnswer(error) || error.codeName !== 'NOT_FOUND') throw error;
    return client.desiredLrps.desire(exampleLrp(), { signal });
  }
}

function urlOf(instance: ActualLrp): string | undefined {
  const address = addressesOf(instance).find(({ containerPort }) => containerPort === PORT)?.address;
  return instance.state === ActualLrpState.RUNNING && address !== undefined ? `http://${address}/` : undefined;
}

async function answers(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    return await inTime(ANSWER_MS, signal, async (ended) => {
      const response = await fetch(url, { signal: ended });
      await untilAborted(response.arrayBuffer(), ended);
      return response.ok;
    });
  } catch {
    return false;
  }
}
