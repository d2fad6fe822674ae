import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { TaskDefinition } from '@rivera/gen/rivera/bbs/v1/task';
import { type Action, CheckDefinition } from '@rivera/gen/rivera/recipe/v1/action';
import {
  ContainerSpec,
  ImageLayer_DigestAlgorithm,
  ImageLayer_LayerType,
  MetricTagValue_DynamicValue,
} from '@rivera/gen/rivera/recipe/v1/container';
import { describe, expect, it } from 'vitest';
import { DefinitionError, internalRoutesOf, lrpRunRequest, taskRunRequest } from './run-request.js';
import type { LrpInstance, TaskExecution } from './work.js';

const run = (path: string): Action => ({
  action: {
    $case: 'runAction',
    value: {
      path,
      args: [],
      dir: '',
      env: [],
      user: 'root',
      logSource: '',
      suppressLogOutput: false,
      volumeMountedFiles: [],
      resourceLimits: undefined,
    },
  },
});
const instance: LrpInstance = { kind: 'lrp', key: { processGuid: 'web', index: 2, domain: 'd' }, instanceGuid: 'guid' };
const task: TaskExecution = { kind: 'task', taskGuid: 'job', executionGuid: 'exec', domain: 'd' };

function lrp(changes: Partial<DesiredLrp> = {}): DesiredLrp {
  const container = ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox', logGuid: 'log', memoryMb: 64 });
  return {
    ...DesiredLrp.fromPartial({ processGuid: 'web', domain: 'd' }),
    container,
    action: run('/bin/server'),
    ...changes,
  };
}

describe('what runs in the container of an instance', () => {
  it('knows its guid and index under the names of the reference', () => {
    expect(lrpRunRequest(lrp(), instance).instanceEnv).toEqual({
      INSTANCE_GUID: 'guid',
      INSTANCE_INDEX: '2',
      CF_INSTANCE_GUID: 'guid',
      CF_INSTANCE_INDEX: '2',
    });
  });

  it.each<[string, Action, number[], true | undefined]>([
    ['its own program', run('/bin/server'), [], undefined],
    ["the image's program and ports of its own", run(''), [8080], undefined],
    ["the image's program and no ports", run(''), [], true],
  ])('with %s', (_, action, ports, imagePorts) => {
    expect(lrpRunRequest(lrp({ action, ports }), instance).imagePorts).toBe(imagePorts);
  });

  it('carries recipe, ports, checks, start timeout and log identity over', () => {
    const request = lrpRunRequest(
      lrp({
        setup: run('/setup'),
        monitor: run('/monitor'),
        checkDefinition: CheckDefinition.fromPartial({
          checks: [{ probe: { $case: 'tcpCheck', value: { port: 8080 } } }],
        }),
        startTimeout: { seconds: 2, nanos: 500_000_000 },
        ports: [8080, 9090],
        routes: { 'internal-router': '[{"hostname":"web.internal"}]', 'cf-router': '{}' },
      }),
      instance,
    );
    expect(request).toMatchObject({
      startTimeoutMs: 2_500,
      ports: [8080, 9090],
      internalRoutes: ['web.internal'],
      log: { logGuid: 'log', processGuid: 'web', taskGuid: '', index: 2 },
    });
    expect(request.setup?.action?.value).toMatchObject({ path: '/setup' });
    expect(request.monitor?.action?.value).toMatchObject({ path: '/monitor' });
    expect(request.checkDefinition?.checks).toHaveLength(1);
  });

  it('has a CPU weight of at least 1', () => {
    expect(lrpRunRequest(lrp(), instance).container.cpuWeight).toBe(1);
    expect(
      lrpRunRequest(lrp({ container: ContainerSpec.fromPartial({ cpuWeight: 50 }) }), instance).container.cpuWeight,
    ).toBe(50);
  });

  it('resolves dynamic metric tags', () => {
    const container = ContainerSpec.fromPartial({
      metricTags: {
        app: { value: { $case: 'static', value: 'shop' } },
        index: { value: { $case: 'dynamic', value: MetricTagValue_DynamicValue.INDEX } },
        guid: { value: { $case: 'dynamic', value: MetricTagValue_DynamicValue.INSTANCE_GUID } },
      },
    });
    expect(lrpRunRequest(lrp({ container }), instance).metricTags).toEqual({
      app: 'shop',
      index: '2',
      guid: 'guid',
    });
  });

  it('downloads exclusive layers at once before setup and mounts shared ones first', () => {
    const layer = {
      destinationPath: '/app',
      digestAlgorithm: ImageLayer_DigestAlgorithm.SHA256,
      digestValue: 'abc',
    };
    const container = ContainerSpec.fromPartial({
      legacyDownloadUser: 'vcap',
      cachedDependencies: [{ name: 'own', from: 'http://own', to: '/own', cacheKey: 'own' }],
      imageLayers: [
        { ...layer, name: 'droplet', url: 'http://droplet', layerType: ImageLayer_LayerType.EXCLUSIVE },
        { ...layer, name: 'lifecycle', url: 'http://lifecycle', layerType: ImageLayer_LayerType.SHARED },
        { name: 'plain', url: 'http://plain', destinationPath: '/p', layerType: ImageLayer_LayerType.SHARED },
      ],
    });
    const { container: made, setup } = lrpRunRequest(lrp({ container, setup: run('/setup') }), instance);
    expect(made.imageLayers).toEqual([]);
    expect(made.cachedDependencies.map(({ name, cacheKey }) => [name, cacheKey])).toEqual([
      ['lifecycle', 'sha256:abc'],
      ['plain', 'http://plain'],
      ['own', 'own'],
    ]);
    if (setup?.action?.$case !== 'serialAction') throw new Error('setup is not serial');
    const [layers, own] = setup.action.value.actions;
    expect(own?.action?.value).toMatchObject({ path: '/setup' });
    if (layers?.action?.$case !== 'parallelAction') throw new Error('layers are not parallel');
    expect(layers.action.value.actions.map(({ action }) => action?.value)).toMatchObject([
      {
        artifact: 'droplet',
        from: 'http://droplet',
        to: '/app',
        cacheKey: 'sha256:abc',
        user: 'vcap',
        checksumValue: 'abc',
      },
    ]);
  });

  it('is refused with a cause that a user can act upon', () => {
    expect(() => lrpRunRequest(lrp({ action: undefined }), instance)).toThrow('container cannot have empty action');
    const container = ContainerSpec.fromPartial({
      volumeMounts: [{ driver: 'nfs', containerDir: '/x', mode: 'rwx' }],
    });
    expect(() => lrpRunRequest(lrp({ container }), instance)).toThrow('unrecognized volume mount mode');
    expect(() => internalRoutesOf({ 'internal-router': '{' })).toThrow(DefinitionError);
    expect(() => internalRoutesOf({ 'internal-router': '[{}]' })).toThrow('has no hostname');
  });
});

describe('what runs in the container of a Task', () => {
  it('has no instance variables, ports or checks', () => {
    const container = ContainerSpec.fromPartial({ logGuid: 'log' });
    const definition = { ...TaskDefinition.fromPartial({}), container, action: run('/bin/true') };
    expect(taskRunRequest(definition, task)).toMatchObject({
      instanceEnv: {},
      ports: [],
      startTimeoutMs: 0,
      log: { logGuid: 'log', processGuid: '', taskGuid: 'job', index: 0 },
    });
    expect(taskRunRequest(definition, task).container.cpuWeight).toBe(0);
  });

  it('refuses dynamic tags', () => {
    const container = ContainerSpec.fromPartial({
      metricTags: { i: { value: { $case: 'dynamic', value: MetricTagValue_DynamicValue.INDEX } } },
    });
    const definition = { ...TaskDefinition.fromPartial({}), container, action: run('/bin/true') };
    expect(() => taskRunRequest(definition, task)).toThrow('dynamic');
  });
});
