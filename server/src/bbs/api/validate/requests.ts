import type { Duration } from '@rivera/gen/google/protobuf/duration';
import type { DesiredLrp, DesiredLrpUpdate, RestartPolicy } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { UpsertDomainRequest } from '@rivera/gen/rivera/bbs/v1/domain_service';
import type { DesireTaskRequest } from '@rivera/gen/rivera/bbs/v1/task_service';
import { RiveraError } from '@rivera/kit/errors';
import { checkAction, checkDefinition, checkHttpUrl } from './action.js';
import { checkContainer, checkMetricTags, checkSidecars, isImage } from './container.js';
import { checkAnnotation, checkDomain, checkGuid, Violations } from './violations.js';

const MAX_INSTANCES = 10_000;
const MAX_ROUTES_BYTES = 131_072;
const MAX_ROUTES = 100;
const MAX_PORTS = 100;
const MAX_RECIPE_BYTES = 2 * 1024 * 1024;
const MAX_SECONDS = 10 * 365 * 86_400;

/** @throws INVALID_REQUEST with every broken rule */
export function validateTask(request: DesireTaskRequest): void {
  const violations = new Violations();
  checkGuid(violations, 'task_guid', request.taskGuid);
  checkDomain(violations, 'domain', request.domain);
  const { definition } = request;
  if (definition === undefined) {
    violations.add('definition', 'is required');
  } else {
    checkContainer(violations, 'definition.container', definition.container);
    const ofImage = isImage(definition.container?.rootFs ?? '');
    checkAction(violations, 'definition.action', definition.action, { path: ofImage, user: ofImage });
    checkAnnotation(violations, 'definition.annotation', definition.annotation);
    if (definition.completionCallbackUrl !== '') {
      checkHttpUrl(violations, 'definition.completion_callback_url', definition.completionCallbackUrl);
    }
  }
  violations.throwIfAny();
}

/** @throws INVALID_REQUEST with every broken rule */
export function validateDesiredLrp(lrp: DesiredLrp | undefined): asserts lrp is DesiredLrp {
  const violations = new Violations();
  if (lrp === undefined) {
    violations.add('desired_lrp', 'is required');
  } else {
    checkGuid(violations, 'desired_lrp.process_guid', lrp.processGuid);
    checkDomain(violations, 'desired_lrp.domain', lrp.domain);
    checkInstances(violations, 'desired_lrp.instances', lrp.instances);
    checkContainer(violations, 'desired_lrp.container', lrp.container);
    const ofImage = isImage(lrp.container?.rootFs ?? '');
    const user = { path: false, user: ofImage };
    if (lrp.setup) checkAction(violations, 'desired_lrp.setup', lrp.setup, user);
    checkAction(violations, 'desired_lrp.action', lrp.action, { path: ofImage, user: ofImage });
    if (lrp.monitor) checkAction(violations, 'desired_lrp.monitor', lrp.monitor, user);
    checkDefinition(violations, 'desired_lrp.check_definition', lrp.checkDefinition);
    checkSidecars(violations, 'desired_lrp.sidecars', lrp.sidecars, user);
    checkRoutes(violations, 'desired_lrp.routes', lrp.routes);
    checkAnnotation(violations, 'desired_lrp.annotation', lrp.annotation);
    for (const [i, port] of lrp.ports.entries()) {
      violations.check(port >= 1 && port <= 65_535, `desired_lrp.ports[${i}]`, 'must be 1..65535');
    }
    violations.check(lrp.ports.length <= MAX_PORTS, 'desired_lrp.ports', `must have at most ${MAX_PORTS} entries`);
    checkDuration(violations, 'desired_lrp.start_timeout', lrp.startTimeout);
    checkRestartPolicy(violations, 'desired_lrp.restart_policy', lrp.restartPolicy);
  }
  violations.throwIfAny();
}

/** @throws INVALID_REQUEST with every broken rule */
export function validateUpdate(
  processGuid: string,
  update: DesiredLrpUpdate | undefined,
): asserts update is DesiredLrpUpdate {
  const violations = new Violations();
  violations.check(processGuid !== '', 'process_guid', 'is required');
  if (update === undefined || isEmpty(update)) {
    violations.add('update', 'must change something');
  } else {
    if (update.instances !== undefined) checkInstances(violations, 'update.instances', update.instances);
    if (update.annotation !== undefined) checkAnnotation(violations, 'update.annotation', update.annotation);
    if (update.routes !== undefined) checkRoutes(violations, 'update.routes.routes', update.routes.routes);
    if (update.metricTags !== undefined) checkMetricTags(violations, 'update.metric_tags.tags', update.metricTags.tags);
    const { imageUsername, imagePassword } = update;
    const both = (imageUsername === undefined) === (imagePassword === undefined);
    const missing = imageUsername === undefined ? 'image_username' : 'image_password';
    violations.check(both, `update.${missing}`, 'is required: image_username and image_password go together');
  }
  violations.throwIfAny();
}

/** @throws INVALID_REQUEST when it is empty */
export function requireText(field: string, value: string): void {
  if (value !== '') return;
  throw new RiveraError('INVALID_REQUEST', `${field} is required`, {
    violations: [{ field, description: 'is required' }],
  });
}

/** @throws INVALID_REQUEST for a domain, or a time, that can't be */
export function validateDomain({ domain, ttl }: UpsertDomainRequest): void {
  const violations = new Violations();
  checkDomain(violations, 'domain', domain);
  checkDuration(violations, 'ttl', ttl);
  violations.throwIfAny();
}

/** Recipes are kept whole, sent to cells whole, and fit a row of any database. @throws INVALID_REQUEST beyond */
export function requireRecipeSize(field: string, recipe: Uint8Array): void {
  if (recipe.length <= MAX_RECIPE_BYTES) return;
  const description = `has ${recipe.length} bytes, more than ${MAX_RECIPE_BYTES}`;
  throw new RiveraError('INVALID_REQUEST', `${field} ${description}`, { violations: [{ field, description }] });
}

function checkRestartPolicy(violations: Violations, field: string, policy: RestartPolicy | undefined): void {
  checkDuration(violations, `${field}.minimum_backoff`, policy?.minimumBackoff);
  checkDuration(violations, `${field}.maximum_backoff`, policy?.maximumBackoff);
  checkDuration(violations, `${field}.reset_after`, policy?.resetAfter);
}

function checkDuration(violations: Violations, field: string, duration: Duration | undefined): void {
  if (duration === undefined) return;
  const { seconds, nanos } = duration;
  const inRange = seconds >= 0 && seconds <= MAX_SECONDS && nanos >= 0 && nanos < 1e9;
  violations.check(inRange, field, 'must be 0..10 years');
}

function checkInstances(violations: Violations, field: string, instances: number): void {
  violations.check(instances >= 0 && instances <= MAX_INSTANCES, field, `must be 0..${MAX_INSTANCES}`);
}

function checkRoutes(violations: Violations, field: string, routes: Readonly<Record<string, string>>): void {
  let bytes = 0;
  const names = Object.keys(routes);
  const namesFit = names.length <= MAX_ROUTES && names.every((name) => name.length <= 255);
  violations.check(namesFit, field, `must have at most ${MAX_ROUTES} names of at most 255 characters`);
  for (const [name, document] of Object.entries(routes)) {
    bytes += Buffer.byteLength(document);
    violations.check(isJson(document), `${field}["${name}"]`, 'must be a JSON document');
  }
  violations.check(bytes <= MAX_ROUTES_BYTES, field, `must have at most ${MAX_ROUTES_BYTES} bytes together`);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function isEmpty(update: DesiredLrpUpdate): boolean {
  const { instances, routes, annotation, metricTags, imageUsername, imagePassword } = update;
  return [instances, routes, annotation, metricTags, imageUsername, imagePassword].every(
    (member) => member === undefined,
  );
}
