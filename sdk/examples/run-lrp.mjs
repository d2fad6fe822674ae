// Keeps a web server up, prints where its instances answer, and removes it again:
//   node run-lrp.mjs [INSTANCES]
// RIVERA_SERVERS, RIVERA_CA, RIVERA_CERT and RIVERA_KEY say where the servers are and who we are.
import { randomUUID } from 'node:crypto';
import { connect, httpCheck, run } from '@rivera/sdk';

const instances = Number(process.argv[2] ?? 2);
const client = connect();
const processGuid = `example-${randomUUID()}`;
try {
  await client.desiredLrps.desire({
    processGuid,
    domain: 'examples',
    instances,
    container: { rootFs: process.env.ROOT_FS ?? 'preloaded:busybox', memoryMb: 32, diskMb: 32, logGuid: processGuid },
    action: run({ path: '/bin/busybox', args: ['httpd', '-f', '-p', '8080', '-h', '/etc'], user: 'root' }),
    checkDefinition: { checks: [httpCheck(8080, '/hosts')] },
    ports: [8080],
  });
  const running = await client.actualLrps.waitForRunning(processGuid, {
    timeoutMs: 60_000,
    onProgress: ({ running, wanted }) => console.log(`${running} of ${wanted} running`),
  });
  for (const { key, netInfo } of running) {
    const port = netInfo.ports.find(({ containerPort }) => containerPort === 8080);
    console.log(`instance ${key.index}: http://${netInfo.address}:${port.hostPort}/hosts`);
  }
} finally {
  await client.desiredLrps.remove(processGuid);
  client.close();
}
