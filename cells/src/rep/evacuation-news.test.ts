import { expect, it } from 'vitest';
import type { ContainerEvent, ContainerRecord } from '../executor/executor.js';
import { EvacuationNews } from './evacuation-news.js';
import { tagsOf } from './work.js';

const lrp = (guid: string) =>
  tagsOf({ kind: 'lrp', key: { processGuid: 'web', index: 0, domain: 'd' }, instanceGuid: guid });
const record = (guid: string, state: ContainerRecord['state'], tags = lrp(guid)): ContainerRecord => ({
  guid,
  state,
  tags,
  resources: { memoryMb: 1, diskMb: 1, containers: 1 },
  allocatedAtMs: 0,
  routable: false,
  internalRoutes: [],
  metricTags: {},
});

it('each instance that runs, or gets to run, is told once; what is left at the end is told that too', () => {
  const task = tagsOf({ kind: 'task', taskGuid: 't', executionGuid: 'task', domain: 'd' });
  const containers = [record('up', 'running'), record('new', 'created'), record('task', 'running', task)];
  const said: string[] = [];
  let listener = (_event: ContainerEvent): void => {};
  const news = new EvacuationNews({
    list: () => containers,
    say: (guid, what) => said.push(`${what} ${guid}`),
    subscribe: (one) => {
      listener = one;
      return () => {};
    },
  });
  news.begin();
  news.begin();
  listener({ kind: 'changed', container: record('up', 'running') });
  listener({ kind: 'changed', container: record('new', 'running') });
  expect(said).toEqual(['requesting replacement for up', 'requesting replacement for new']);
  listener({ kind: 'removed', container: record('up', 'completed') });
  said.length = 0;
  news.timedOut();
  expect(said).toEqual(['reached evacuation timeout for up', 'reached evacuation timeout for new']);
});
