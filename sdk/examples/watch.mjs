// Prints what exists, then every change, until interrupted or after COUNT lines:
//   node watch.mjs [COUNT]
// Servers may come and go meanwhile: the watch goes on where it was.
import { CancelledError, connect } from '@rivera/sdk';

let left = Number(process.argv[2] ?? Number.POSITIVE_INFINITY);
const interrupt = new AbortController();
process.once('SIGINT', () => interrupt.abort());

const client = connect();
try {
  for await (const item of client.watch({ snapshot: true, signal: interrupt.signal })) {
    if (item.kind === 'snapshot') console.log('exists', item.record.record.$case);
    else if (item.kind === 'event') console.log(item.event.revision, item.event.event.$case);
    else console.log(item.kind);
    if (--left <= 0) break;
  }
} catch (error) {
  if (!(error instanceof CancelledError)) throw error;
} finally {
  client.close();
}
