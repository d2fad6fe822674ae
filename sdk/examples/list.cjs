// Prints the cells, the LRPs with their instances, and the Tasks, from CommonJS:
//   node list.cjs
const { ActualLrpState, connect, RiveraError, TaskState } = require('@rivera/sdk');

async function main() {
  const client = connect();
  try {
    for await (const { presence, lrpInstances } of client.cells.list()) {
      console.log(`cell ${presence.cellId} in ${presence.zone}: ${lrpInstances} instances`);
    }
    for await (const { processGuid, instances } of client.desiredLrps.list()) {
      let running = 0;
      const states = [ActualLrpState.RUNNING];
      for await (const _instance of client.actualLrps.list({ processGuids: [processGuid], states })) running++;
      console.log(`lrp ${processGuid}: ${running} of ${instances} running`);
    }
    for await (const { taskGuid, state } of client.tasks.list()) {
      console.log(`task ${taskGuid}: ${TaskState[state]}`);
    }
  } finally {
    client.close();
  }
}

main().catch((error) => {
  console.error(error instanceof RiveraError ? `${error.codeName}: ${error.message}` : error);
  process.exitCode = 1;
});
