import { Container } from '@rivera/gen/rivera/rep/v1/container';
import { unary } from '@rivera/kit/grpc/dial';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { AccessBench } from './testing.js';

let bench: AccessBench;
beforeEach(async () => {
  bench = await AccessBench.start();
});
afterEach(() => bench.close());

it('the containers of a cell are what the cell says, page by page; without its answer the reason is told', async () => {
  const client = await bench.client();
  const asked: unknown[] = [];
  const { cable } = await bench.cell('c1', {
    listContainers: (request) => {
      asked.push(request);
      return { containers: [Container.fromPartial({ containerGuid: 'a' })], nextPageToken: 'n' };
    },
  });
  const request = { cellId: 'c1', pageSize: 3, pageToken: 'p' };
  expect(await unary(client, client.listCellContainers, request)).toMatchObject({
    containers: [{ containerGuid: 'a' }],
    nextPageToken: 'n',
  });
  expect(asked).toMatchObject([{ pageSize: 3, pageToken: 'p' }]);
  await expect(unary(client, client.listCellContainers, { ...request, cellId: 'nobody' })).rejects.toMatchObject({
    reason: 'CELL_NOT_FOUND',
  });
  cable.cut();
  await expect(unary(client, client.listCellContainers, request)).rejects.toMatchObject({ reason: 'CELL_UNREACHABLE' });
});
