import type {
  ExecRequest,
  ExecResponse,
  ListCellContainersRequest,
  ListCellContainersResponse,
  ReadFilesRequest,
  ReadFilesResponse,
  ReadLogsRequest,
  ReadLogsResponse,
  WriteFilesRequest,
  WriteFilesResponse,
} from '@rivera/gen/rivera/access/v1/access_service';
import { RiveraError } from '@rivera/kit/errors';
import { serverStream, unary } from '@rivera/kit/grpc/dial';
import type { CallContext } from '@rivera/kit/grpc/host';
import type { CellClients } from './cell-clients.js';
import { askingCell, readingCell } from './cell-errors.js';
import type { Directory } from './directory.js';
import { exec } from './exec.js';
import type { LogReader } from './logs.js';
import { writeFiles } from './write-files.js';

type Call = Pick<CallContext, 'signal' | 'log' | 'peer'>;

/** Handlers of rivera.access.v1.AccessService: they find the cell and pass the stream through, at the pace of its reader. */
export function accessService(directory: Directory, clients: CellClients, logs: LogReader) {
  return {
    async *exec(requests: AsyncIterable<ExecRequest>, { signal, log }: Call): AsyncGenerator<ExecResponse> {
      const incoming = requests[Symbol.asyncIterator]();
      const first = await incoming.next();
      const start = first.done ? undefined : first.value.input?.input;
      if (start?.$case !== 'start') throw new RiveraError('INVALID_REQUEST', 'the first message must be a start');
      const { cellId, address, target } = await directory.locate(start.value.target, signal);
      log.info({ cell: cellId, target: start.value.target, path: start.value.path }, 'exec');
      yield* readingCell(cellId, signal, () =>
        exec(clients.get(cellId, address), { ...start.value, target }, incoming, signal),
      );
    },

    async *readLogs({ filter }: ReadLogsRequest, call: Call): AsyncGenerator<ReadLogsResponse> {
      if (filter === undefined || (filter.processGuid === '' && filter.taskGuid === '')) {
        throw new RiveraError('INVALID_REQUEST', 'filter must name a process_guid or a task_guid', {
          violations: [{ field: 'filter', description: 'must name a process_guid or a task_guid' }],
        });
      }
      yield* logs.read(filter, call.signal);
    },

    async *readFiles({ target, path, user }: ReadFilesRequest, { signal }: Call): AsyncGenerator<ReadFilesResponse> {
      const location = await directory.locate(target, signal);
      const { cellId, address } = location;
      const open = () => clients.get(cellId, address).readFiles({ target: location.target, path, user });
      for await (const { data } of readingCell(cellId, signal, () => serverStream(open, signal))) yield { data };
    },

    async listCellContainers(
      { cellId, pageSize, pageToken }: ListCellContainersRequest,
      { signal }: Call,
    ): Promise<ListCellContainersResponse> {
      const { address } = await directory.cell(cellId, signal);
      const client = clients.get(cellId, address);
      const page = askingCell(cellId, signal, () =>
        unary(client, client.listContainers, { pageSize, pageToken }, { signal }),
      );
      const { containers, nextPageToken } = await page;
      return { containers, nextPageToken };
    },

    async writeFiles(requests: AsyncIterable<WriteFilesRequest>, { signal }: Call): Promise<WriteFilesResponse> {
      const incoming = requests[Symbol.asyncIterator]();
      const first = await incoming.next();
      const message = first.done ? undefined : first.value.message;
      if (message?.$case !== 'start') throw new RiveraError('INVALID_REQUEST', 'the first message must be a start');
      const { cellId, address, target } = await directory.locate(message.value.target, signal);
      const start = { target, path: message.value.path, user: message.value.user };
      await askingCell(cellId, signal, () => writeFiles(clients.get(cellId, address), start, incoming, signal));
      return {};
    },
  };
}
