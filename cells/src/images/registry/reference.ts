import { ImageError } from '../image-error.js';
import { isDigest } from './digest.js';

/** Which image, in which registry. */
export interface ImageReference {
  /** `HOST` or `HOST:PORT`, as requests are made to. */
  registry: string;
  repository: string;
  /** What of the repository: a digest where there is one, else a tag. */
  wanted: string;
  /** As people write it, for messages and logs. */
  name: string;
}

/** Name and address of the registry that is meant when none is named. */
const DEFAULT_REGISTRY = 'docker.io';
const DEFAULT_REGISTRY_HOST = 'registry-1.docker.io';
const DEFAULT_TAG = 'latest';

const FORM = /^docker:\/\/([^/]*)\/([^@#]+?)(?:#([^@]*))?(?:@(.*))?$/;
const HOST = /^(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?$/;
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;

/**
 * Reads `docker://HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`. As in the reference the tag may follow a `#` instead, and without a host
 * Docker Hub is meant (spec cell §45). With a digest the tag is for people alone.
 * @throws ImageError `bad-reference`
 */
export function parseImageReference(rootFs: string): ImageReference {
  const refuse = (why: string): never => {
    // Whoever writes a password into it should not find it in the logs.
    const shown = rootFs.replace(/^(docker:\/\/)[^/]*@(?=[^/]*\/)/, '$1');
    throw new ImageError('bad-reference', `image '${shown}' ${why}`);
  };
  const found = FORM.exec(rootFs);
  if (!found) return refuse('is not like docker://HOST/REPOSITORY:TAG');
  const [, host = '', path = '', fragment, digest] = found;
  const named = host === '' ? DEFAULT_REGISTRY : host;
  if (!HOST.test(named)) refuse('names a registry that is not like HOST or HOST:PORT');
  const { repository: written, tag = fragment } = splitTag(path);
  const isDefault = named === DEFAULT_REGISTRY || named === `index.${DEFAULT_REGISTRY}`;
  const repository = isDefault && !written.includes('/') ? `library/${written}` : written;
  if (!REPOSITORY.test(repository) || repository.length > 255) refuse(`has a bad repository name '${written}'`);
  if (tag !== undefined && !TAG.test(tag)) refuse(`has a bad tag '${tag}'`);
  if (digest !== undefined && !isDigest(digest)) refuse(`has a bad digest '${digest}'`);
  const shownTag = tag === undefined && digest === undefined ? `:${DEFAULT_TAG}` : tag === undefined ? '' : `:${tag}`;
  return {
    registry: isDefault ? DEFAULT_REGISTRY_HOST : named,
    repository,
    wanted: digest ?? tag ?? DEFAULT_TAG,
    name: `${named}/${repository}${shownTag}${digest === undefined ? '' : `@${digest}`}`,
  };
}

function splitTag(path: string): { repository: string; tag?: string } {
  const colon = path.lastIndexOf(':');
  if (colon < 0) return { repository: path };
  return { repository: path.slice(0, colon), tag: path.slice(colon + 1) };
}
