import type {
  ExecRequest,
  ExecResponse,
  ReadFilesRequest,
  ReadFilesResponse,
  ReadLogsRequest,
  ReadLogsResponse,
  WriteFilesRequest,
  WriteFilesResponse,
} from '@rivera/gen/rivera/access/v1/access_service';
import type { ExecInput } from '@rivera/gen/rivera/rep/v1/container';
import { RiveraError } from '@rivera/kit/errors';
import { bidi, serverStream } from '@rivera/kit/grpc/dial';
import type { CallContext } from '@rivera/kit/grpc/host';
import type { CellClients } from './cell-clients.js';
import type { Directory } from './directory.js';
import type { LogReader } from './logs.js';
import { writeFiles } from './write-files.js';

type Call = Pick<CallContext, 'signal' | 'log' | 'peer'>;

/** Handlers of rivera.access.v1.AccessService: they find the cell and pass the stream through, at the pace of its reader. */
export function accessService(directory: Directory, clients: CellClients, logs: LogReader) {
  return {
    async *exec(requests: AsyncIterable<ExecRequest>, call: Call): AsyncGenerator<ExecResponse> {
      const incoming = requests[Symbol.asyncIterator]();
      const first = await incoming.next();
      const start = first.done ? undefined : first.value.input?.input;
      if (start?.$case !== 'start') throw new RiveraError('INVALID_REQUEST', 'the first message must be a start');
      const location = await directory.locate(start.value.target);
      call.log.info({ cell: location.cellId, target: start.value.target, path: start.value.path }, 'exec');
      const cell = clients.get(location.cellId, location.address);
      const stream = bidi(() => cell.exec(), call.signal);
      const input: ExecInput = { input: { $case: 'start', value: { ...start.value, target: location.target } } };
      await stream.write({ input });
      void (async () => {
        try {
          for (let next = await incoming.next(); !next.done; next = await incoming.next()) {
            await stream.write({ input: next.value.input });
          }
          stream.end();
        } catch {
          // The client is gone or the process has ended; either way the responses tell.
          stream.cancel();
        }
      })();
      try {
        for await (const { output } of stream.responses) yield { output };
      } finally {
        stream.cancel();
      }
    },

    async *readLogs({ filter }: ReadLogsRequest, call: Call): AsyncGenerator<ReadLogsResponse> {
      if (filter === undefined || (filter.processGuid === '' && filter.taskGuid === '')) {
        throw new RiveraError('INVALID_REQUEST', 'filter must name a process_guid or a task_guid', {
          violations: [{ field: 'filter', description: 'must name a process_guid or a task_guid' }],
        });
      }
      yield* logs.read(filter, call.signal);
    },

    async *readFiles({ target, path, user }: ReadFilesRequest, call: Call): AsyncGenerator<ReadFilesResponse> {
      const location = await directory.locate(target);
      const cell = clients.get(location.cellId, location.address);
      const open = () => cell.readFiles({ target: location.target, path, user });
      for await (const { data } of serverStream(open, call.signal)) yield { data };
    },

    async writeFiles(requests: AsyncIterable<WriteFilesRequest>, call: Call): Promise<WriteFilesResponse> {
      const incoming = requests[Symbol.asyncIterator]();
      const first = await incoming.next();
      const message = first.done ? undefined : first.value.message;
      if (message?.$case !== 'start') throw new RiveraError('INVALID_REQUEST', 'the first message must be a start');
      const location = await directory.locate(message.value.target);
      const cell = clients.get(location.cellId, location.address);
      const start = { target: location.target, path: message.value.path, user: message.value.user };
      await writeFiles(cell, start, incoming, call.signal);
      return {};
    },
  };
}
