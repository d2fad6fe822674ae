import {
  type ContainerSpec,
  type ImageLayer,
  ImageLayer_DigestAlgorithm,
  ImageLayer_LayerType,
  ImageLayer_MediaType,
  type MetricTagValue,
  MetricTagValue_DynamicValue,
  type Sidecar,
} from '@rivera/gen/rivera/recipe/v1/container';
import { checkAction, checkDownload, checkEnvironment, type ImageSays } from './action.js';
import { checkEgressRule } from './egress.js';
import { checkText, type Violations } from './violations.js';

const MAX_FILES_BYTES = 1_048_576;
const MAX_LIST = 1_000;
const MAX_TAGS = 100;
const MAX_SIDECARS = 20;
const MAX_TAG_CHARACTERS = 1_024;

/** Checks what Tasks and LRPs have in common (spec bbs §2.2, §8), in the same way for both. */
export function checkContainer(violations: Violations, field: string, container: ContainerSpec | undefined): void {
  if (container === undefined) return violations.add(field, 'is required');
  checkRootFs(violations, `${field}.root_fs`, container.rootFs);
  for (const name of ['memoryMb', 'diskMb', 'maxPids'] as const) {
    violations.check(container[name] >= 0, `${field}.${SNAKE[name]}`, 'must be at least 0');
  }
  violations.check(container.cpuWeight <= 100, `${field}.cpu_weight`, 'must be 0..100');
  violations.check(container.logGuid.length <= 255, `${field}.log_guid`, 'must have at most 255 characters');
  checkText(violations, `${field}.log_guid`, container.logGuid);
  const rate = container.logRateLimit?.bytesPerSecond ?? -1;
  violations.check(rate >= -1, `${field}.log_rate_limit.bytes_per_second`, 'must be at least -1');
  checkEnvironment(violations, `${field}.environment_variables`, container.environmentVariables);
  checkMetricTags(violations, `${field}.metric_tags`, container.metricTags);
  checkLists(violations, field, container);
  for (const [i, rule] of container.egressRules.entries())
    checkEgressRule(violations, `${field}.egress_rules[${i}]`, rule);
  for (const [i, dependency] of container.cachedDependencies.entries()) {
    checkDownload(violations, `${field}.cached_dependencies[${i}]`, dependency);
  }
  for (const [i, layer] of container.imageLayers.entries()) {
    checkImageLayer(violations, `${field}.image_layers[${i}]`, layer, container.legacyDownloadUser);
  }
  checkCredentials(violations, field, container);
  checkVolumes(violations, field, container);
}

/** "preloaded:NAME" and its like. */
export function checkRootFs(violations: Violations, field: string, rootFs: string): void {
  const valid = /^[a-zA-Z][a-zA-Z0-9+.-]*:\S+$/.test(rootFs) && rootFs.length <= 1_024;
  violations.check(valid, field, 'must be a URL with a scheme, such as preloaded:NAME, of at most 1,024 characters');
  checkText(violations, field, rootFs);
  if (rootFs.startsWith('preloaded+layer:')) checkLayered(violations, field, rootFs);
}

/** "preloaded+layer:NAME?layer=URL&layer_path=DIRECTORY&layer_digest=SHA256". */
function checkLayered(violations: Violations, field: string, rootFs: string): void {
  const parameters = new URLSearchParams(rootFs.split(/\?(.*)/s)[1] ?? '');
  const is = (name: string, pattern: RegExp) => pattern.test(parameters.get(name) ?? '');
  const complete = is('layer', /^https?:\/\/./) && is('layer_path', /^\//) && is('layer_digest', /^[0-9a-f]{64}$/);
  violations.check(
    complete,
    field,
    'needs layer (an http or https URL), an absolute layer_path and layer_digest (SHA-256)',
  );
}

/** Whether a root filesystem is an image, which has a program and a user of its own; one that lies on the cells has none. */
export function isImage(rootFs: string): boolean {
  const scheme = rootFs.slice(0, Math.max(0, rootFs.indexOf(':')));
  return scheme !== 'preloaded' && scheme !== 'preloaded+layer';
}

export function checkMetricTags(
  violations: Violations,
  field: string,
  tags: Readonly<Record<string, MetricTagValue>>,
): void {
  violations.check(Object.keys(tags).length <= MAX_TAGS, field, `must have at most ${MAX_TAGS} entries`);
  for (const [name, { value }] of Object.entries(tags)) {
    const bytes = name.length + String(value?.value ?? '').length;
    violations.check(bytes <= MAX_TAG_CHARACTERS, `${field}["${name}"]`, 'is too long');
    const valid = value?.$case === 'static' ? value.value !== '' : value !== undefined && isDynamic(value.value);
    violations.check(valid, `${field}["${name}"]`, 'must have a static text or a dynamic value');
  }
}

/** Helper processes. */
export function checkSidecars(
  violations: Violations,
  field: string,
  sidecars: readonly Sidecar[],
  image?: ImageSays,
): void {
  violations.check(sidecars.length <= MAX_SIDECARS, field, `must have at most ${MAX_SIDECARS} entries`);
  for (const [i, sidecar] of sidecars.slice(0, MAX_SIDECARS).entries()) {
    checkAction(violations, `${field}[${i}].action`, sidecar.action, image);
    violations.check(sidecar.diskMb >= 0, `${field}[${i}].disk_mb`, 'must be at least 0');
    violations.check(sidecar.memoryMb >= 0, `${field}[${i}].memory_mb`, 'must be at least 0');
  }
}

const SNAKE = { memoryMb: 'memory_mb', diskMb: 'disk_mb', maxPids: 'max_pids' } as const;

function isDynamic(value: number): boolean {
  return value === MetricTagValue_DynamicValue.INDEX || value === MetricTagValue_DynamicValue.INSTANCE_GUID;
}

function checkLists(violations: Violations, field: string, container: ContainerSpec): void {
  const lists = {
    environment_variables: container.environmentVariables,
    egress_rules: container.egressRules,
    cached_dependencies: container.cachedDependencies,
    image_layers: container.imageLayers,
    volume_mounts: container.volumeMounts,
    volume_mounted_files: container.volumeMountedFiles,
    placement_tags: container.placementTags,
  };
  for (const [name, list] of Object.entries(lists)) {
    violations.check(list.length <= MAX_LIST, `${field}.${name}`, `must have at most ${MAX_LIST} entries`);
  }
  for (const [i, tag] of container.placementTags.entries()) {
    checkText(violations, `${field}.placement_tags[${i}]`, tag);
    violations.check(tag.length <= 255, `${field}.placement_tags[${i}]`, 'must have at most 255 characters');
  }
  for (const [i, rule] of container.egressRules.entries()) {
    const entries = rule.destinations.length + rule.ports.length + rule.annotations.length;
    violations.check(entries <= MAX_LIST, `${field}.egress_rules[${i}]`, `must have at most ${MAX_LIST} entries`);
  }
}

function checkImageLayer(violations: Violations, field: string, layer: ImageLayer, downloadUser: string): void {
  violations.check(layer.url !== '', `${field}.url`, 'is required');
  violations.check(layer.destinationPath !== '', `${field}.destination_path`, 'is required');
  const exclusive = layer.layerType === ImageLayer_LayerType.EXCLUSIVE;
  violations.check(exclusive || layer.layerType === ImageLayer_LayerType.SHARED, `${field}.layer_type`, 'is required');
  const media = [ImageLayer_MediaType.TGZ, ImageLayer_MediaType.TAR, ImageLayer_MediaType.ZIP];
  violations.check(media.includes(layer.mediaType), `${field}.media_type`, 'is required');
  const algorithms = [ImageLayer_DigestAlgorithm.SHA256, ImageLayer_DigestAlgorithm.SHA512];
  const hasAlgorithm = algorithms.includes(layer.digestAlgorithm);
  const hasValue = layer.digestValue !== '';
  violations.check(hasAlgorithm || !(hasValue || exclusive), `${field}.digest_algorithm`, 'is required here');
  violations.check(hasValue || !(hasAlgorithm || exclusive), `${field}.digest_value`, 'is required here');
  violations.check(!exclusive || downloadUser !== '', `${field}.layer_type`, 'EXCLUSIVE needs legacy_download_user');
}

function checkCredentials(violations: Violations, field: string, container: ContainerSpec): void {
  const { imageUsername, imagePassword } = container;
  violations.check(
    imagePassword === '' || imageUsername !== '',
    `${field}.image_username`,
    'is required with image_password',
  );
  violations.check(
    imageUsername === '' || imagePassword !== '',
    `${field}.image_password`,
    'is required with image_username',
  );
}

function checkVolumes(violations: Violations, field: string, container: ContainerSpec): void {
  for (const [i, mount] of container.volumeMounts.entries()) {
    const at = `${field}.volume_mounts[${i}]`;
    violations.check(mount.driver !== '' && mount.driver.length <= 255, `${at}.driver`, 'must have 1..255 characters');
    violations.check(mount.mode === 'r' || mount.mode === 'rw', `${at}.mode`, 'must be r or rw');
    if (mount.device?.$case === 'shared') {
      violations.check(mount.device.value.volumeId !== '', `${at}.shared.volume_id`, 'is required');
    } else if (mount.device?.$case === 'dedicated') {
      violations.check(mount.device.value.mounterId !== '', `${at}.dedicated.mounter_id`, 'is required');
    }
  }
  let bytes = 0;
  for (const [i, file] of container.volumeMountedFiles.entries()) {
    bytes += file.content.length;
    const confined = file.path !== '' && !file.path.startsWith('/') && !file.path.split('/').includes('..');
    violations.check(confined, `${field}.volume_mounted_files[${i}].path`, 'must be a relative path without ".."');
  }
  violations.check(
    bytes <= MAX_FILES_BYTES,
    `${field}.volume_mounted_files`,
    'must have at most 1 MiB of content together',
  );
}
