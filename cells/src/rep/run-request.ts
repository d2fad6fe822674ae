import type { InternalRoute } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { TaskDefinition } from '@rivera/gen/rivera/bbs/v1/task';
import type { Action, DownloadAction } from '@rivera/gen/rivera/recipe/v1/action';
import {
  type CachedDependency,
  type ContainerSpec,
  type ImageLayer,
  ImageLayer_DigestAlgorithm,
  ImageLayer_LayerType,
  type MetricTagValue,
  MetricTagValue_DynamicValue,
} from '@rivera/gen/rivera/recipe/v1/container';
import type { RunRequest } from '../executor/executor.js';
import { runActionsOf } from '../executor/steps/build.js';
import type { LrpInstance, TaskExecution } from './work.js';

/** A definition that can't be turned into a recipe. Its message is the failure reason that users read. */
export class DefinitionError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DefinitionError';
  }
}

/** The router name whose document holds the names that instances find each other by. */
const INTERNAL_ROUTER = 'internal-router';

/**
 * What runs in the container of an instance (spec cell §13).
 * @throws DefinitionError
 */
export function lrpRunRequest(lrp: DesiredLrp, instance: LrpInstance): RunRequest {
  const spec = requireContainer(lrp.container);
  const { index, processGuid } = instance.key;
  return {
    container: { ...convertedContainer(spec), cpuWeight: Math.max(spec.cpuWeight, 1) },
    ...optionalAction('setup', withExclusiveLayers(spec, lrp.setup)),
    action: requireAction(lrp.action),
    ...optionalAction('monitor', lrp.monitor),
    ...(lrp.checkDefinition ? { checkDefinition: lrp.checkDefinition } : {}),
    startTimeoutMs: lrp.startTimeout
      ? lrp.startTimeout.seconds * 1_000 + Math.floor(lrp.startTimeout.nanos / 1_000_000)
      : 0,
    ports: lrp.ports,
    ...(lrp.ports.length === 0 && runsEntryPoint(lrp.action) && { imagePorts: true }),
    sidecars: lrp.sidecars,
    instanceEnv: {
      INSTANCE_GUID: instance.instanceGuid,
      INSTANCE_INDEX: String(index),
      CF_INSTANCE_GUID: instance.instanceGuid,
      CF_INSTANCE_INDEX: String(index),
    },
    internalRoutes: internalRoutesOf(lrp.routes).map((route) => route.hostname),
    metricTags: resolveTags(spec.metricTags, { index, instanceGuid: instance.instanceGuid }),
    log: { logGuid: spec.logGuid, processGuid, taskGuid: '', index },
  };
}

/**
 * What runs in the container of a Task (spec cell §13): no ports, checks, sidecars or instance variables.
 * @throws DefinitionError
 */
export function taskRunRequest(definition: TaskDefinition, task: TaskExecution): RunRequest {
  const spec = requireContainer(definition.container);
  return {
    container: convertedContainer(spec),
    ...optionalAction('setup', withExclusiveLayers(spec, undefined)),
    action: requireAction(definition.action),
    startTimeoutMs: 0,
    ports: [],
    sidecars: [],
    instanceEnv: {},
    internalRoutes: [],
    metricTags: resolveTags(spec.metricTags, undefined),
    log: { logGuid: spec.logGuid, processGuid: '', taskGuid: task.taskGuid, index: 0 },
  };
}

/**
 * The names in the document of the internal router: an array of `{hostname}`.
 * @throws DefinitionError
 */
export function internalRoutesOf(routes: { readonly [router: string]: string }): InternalRoute[] {
  const document = routes[INTERNAL_ROUTER];
  if (document === undefined || document === '') return [];
  let parsed: unknown;
  try {
    parsed = JSON.parse(document);
  } catch (cause) {
    throw new DefinitionError(`routes of ${INTERNAL_ROUTER} are not JSON`, { cause });
  }
  if (!Array.isArray(parsed)) throw new DefinitionError(`routes of ${INTERNAL_ROUTER} are not an array`);
  return parsed.map((entry: unknown) => {
    const hostname = typeof entry === 'object' && entry !== null && 'hostname' in entry ? entry.hostname : undefined;
    if (typeof hostname !== 'string' || hostname === '') {
      throw new DefinitionError(`a route of ${INTERNAL_ROUTER} has no hostname`);
    }
    return { hostname };
  });
}

/** Tags as they are at this instance; Tasks have nothing that a dynamic tag could stand for. */
function resolveTags(
  tags: { readonly [name: string]: MetricTagValue },
  instance: { index: number; instanceGuid: string } | undefined,
): Record<string, string> {
  const resolved: Record<string, string> = {};
  for (const [name, { value }] of Object.entries(tags)) resolved[name] = resolveTag(name, value, instance);
  return resolved;
}

function resolveTag(
  name: string,
  value: MetricTagValue['value'],
  instance: { index: number; instanceGuid: string } | undefined,
): string {
  if (value?.$case === 'static') return value.value;
  if (value?.$case === 'dynamic' && instance !== undefined) {
    if (value.value === MetricTagValue_DynamicValue.INDEX) return String(instance.index);
    if (value.value === MetricTagValue_DynamicValue.INSTANCE_GUID) return instance.instanceGuid;
  }
  throw new DefinitionError(
    value?.$case === 'dynamic' && instance === undefined
      ? `metric tag "${name}" is dynamic, which a Task can't have`
      : `metric tag "${name}" has no value that is known`,
  );
}

function convertedContainer(spec: ContainerSpec): ContainerSpec {
  for (const mount of spec.volumeMounts) {
    if (mount.mode !== 'r' && mount.mode !== 'rw') throw new DefinitionError('unrecognized volume mount mode');
  }
  const shared = spec.imageLayers.filter((layer) => layer.layerType === ImageLayer_LayerType.SHARED);
  return {
    ...spec,
    imageLayers: [],
    cachedDependencies: [...shared.map(dependencyOf), ...spec.cachedDependencies],
  };
}

/** Layers for one container alone are fetched into it, all at once, before its own setup. */
function withExclusiveLayers(spec: ContainerSpec, setup: Action | undefined): Action | undefined {
  const downloads = spec.imageLayers
    .filter((layer) => layer.layerType === ImageLayer_LayerType.EXCLUSIVE)
    .map((layer): Action => ({ action: { $case: 'downloadAction', value: downloadOf(layer, spec) } }));
  if (downloads.length === 0) return setup;
  const layers: Action = { action: { $case: 'parallelAction', value: { actions: downloads, logSource: '' } } };
  if (setup === undefined) return layers;
  return { action: { $case: 'serialAction', value: { actions: [layers, setup], logSource: '' } } };
}

function downloadOf(layer: ImageLayer, spec: ContainerSpec): DownloadAction {
  const algorithm = algorithmOf(layer);
  return {
    artifact: layer.name,
    from: layer.url,
    to: layer.destinationPath,
    cacheKey: `${algorithm}:${layer.digestValue}`,
    logSource: '',
    user: spec.legacyDownloadUser,
    checksumAlgorithm: algorithm,
    checksumValue: layer.digestValue,
  };
}

function dependencyOf(layer: ImageLayer): CachedDependency {
  const algorithm = algorithmOf(layer);
  return {
    name: layer.name,
    from: layer.url,
    to: layer.destinationPath,
    cacheKey: layer.digestValue === '' ? layer.url : `${algorithm}:${layer.digestValue}`,
    logSource: '',
    checksumAlgorithm: algorithm,
    checksumValue: layer.digestValue,
  };
}

function algorithmOf(layer: ImageLayer): string {
  switch (layer.digestAlgorithm) {
    case ImageLayer_DigestAlgorithm.SHA256:
      return 'sha256';
    case ImageLayer_DigestAlgorithm.SHA512:
      return 'sha512';
    case ImageLayer_DigestAlgorithm.UNSPECIFIED:
      return '';
    default:
      throw new DefinitionError(`image layer "${layer.name}" has an unknown digest algorithm`);
  }
}

function requireContainer(container: ContainerSpec | undefined): ContainerSpec {
  if (container === undefined) throw new DefinitionError('definition has no container');
  return container;
}

function requireAction(action: Action | undefined): Action {
  if (action?.action === undefined) throw new DefinitionError('container cannot have empty action');
  return action;
}

/** Who leaves the program to the image leaves the ports to it as well. */
function runsEntryPoint(action: Action | undefined): boolean {
  return runActionsOf(action).some(({ path }) => path === '');
}

function optionalAction<Name extends string>(name: Name, action: Action | undefined): { [key in Name]?: Action } {
  const part: { [key in Name]?: Action } = {};
  if (action !== undefined) part[name] = action;
  return part;
}
