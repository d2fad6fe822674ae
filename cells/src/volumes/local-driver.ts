import { chmod, lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { formatSize, size } from '@rivera/kit/config';
import pLimit from 'p-limit';
import { z } from 'zod';
import { isMissing } from '../kernel/durable.js';
import { type Volume, type VolumeDriver, VolumeError } from './driver.js';
import { LimitedDirectories, makeOwned } from './limited-directories.js';

const ID = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;
const EVERYBODY = '0777';
const KINDS = ['shared', 'dedicated'] as const;

/** Who a new volume belongs to, by the ids that containers know, and what it can hold. What is there already stays as it is. */
const mountConfig = z.strictObject({
  uid: z.number().int().min(0).max(65_535).default(0),
  gid: z.number().int().min(0).max(65_535).default(0),
  mode: z
    .string()
    .regex(/^[0-7]{3,4}$/, 'must be octal, like "0750"')
    .default(EVERYBODY),
  size: size({ min: '8MiB', max: '8TiB' }).optional(),
});

/**
 * Volumes that are directories of this machine. They are made when first asked for, stay when their containers go, and are never
 * removed here: what they hold is somebody's. Shared and dedicated ones of one id are two. One with a size is in a filesystem of its
 * own, which is mounted while a container has it.
 */
export class LocalDriver implements VolumeDriver {
  readonly name = 'local';
  private readonly limited: Readonly<Record<Volume['kind'], LimitedDirectories>>;
  /** Containers that have a volume with a size, by the volume's kind and id. */
  private readonly users = new Map<string, Set<string>>();
  /** Whether a volume is there and who has it must not change while that decides something. */
  private readonly oneAtATime = pLimit(1);

  constructor(private readonly directory: string) {
    const limitedOf = (kind: Volume['kind']) =>
      new LimitedDirectories(join(directory, 'images', kind), join(directory, 'mounted', kind));
    this.limited = { shared: limitedOf('shared'), dedicated: limitedOf('dedicated') };
  }

  async start(uses: readonly { container: string; volume: Volume }[]): Promise<void> {
    for (const kind of KINDS) {
      const path = join(this.directory, kind);
      await mkdir(path, { recursive: true, mode: 0o700 });
      // Begun when an agent died, and in nobody's hands.
      for (const name of (await readdir(path)).filter((each) => each.startsWith('.')))
        await rm(join(path, name), { recursive: true });
      await this.limited[kind].start();
    }
    // Nobody but containers gets here, so that rights of files made inside are worth nothing outside.
    await chmod(this.directory, 0o700);
    for (const { container, volume } of uses) this.usersOf(volume).add(container);
  }

  mount(container: string, volume: Volume): Promise<string> {
    return this.oneAtATime(() => this.open(container, volume));
  }

  unmount(container: string, volume: Volume): Promise<void> {
    return this.oneAtATime(async () => {
      const users = this.usersOf(volume);
      users.delete(container);
      // A directory is there whether or not anybody uses it; a filesystem takes memory and a device.
      if (users.size > 0 || !ID.test(volume.id)) return;
      await this.limited[volume.kind].close(volume.id);
      this.users.delete(keyOf(volume));
    });
  }

  private async open(container: string, volume: Volume): Promise<string> {
    const { id, kind } = volume;
    if (!ID.test(id))
      throw new VolumeError(`volume id '${id}' is not 1..128 of A-Z a-z 0-9 . _ - without a dot at its begin`);
    if (volume.deviceConfig !== '')
      throw new VolumeError('device_config must be empty: local volumes have no settings');
    const { uid, gid, mode, size: bytes } = settingsOf(volume.mountConfig);
    const ownership = { uid, gid, mode: Number.parseInt(mode, 8) };
    const limited = this.limited[kind];
    const path = join(this.directory, kind, id);
    const plain = await lstat(path).catch(unlessMissing);
    const now = plain ? undefined : await limited.sizeOf(id);
    if (bytes !== undefined && bytes !== now && (plain || now !== undefined)) {
      const has = now === undefined ? 'has no limit of size' : `has a size of ${formatSize(now)}`;
      throw new VolumeError(`volume '${id}' ${has}, which can't be changed to ${formatSize(bytes)}`);
    }
    if (plain) {
      if (!plain.isDirectory()) throw new VolumeError(`volume '${id}' is not a directory`);
      return path;
    }
    if (bytes === undefined && now === undefined) {
      await makeOwned(path, ownership);
      return path;
    }
    this.usersOf(volume).add(container);
    if (now === undefined) await limited.make(id, bytes as number);
    return limited.open(id, ownership);
  }

  private usersOf(volume: Volume): Set<string> {
    const users = this.users.get(keyOf(volume)) ?? new Set();
    this.users.set(keyOf(volume), users);
    return users;
  }
}

function keyOf({ kind, id }: Volume): string {
  return `${kind}/${id}`;
}

function unlessMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}

function settingsOf(text: string): z.infer<typeof mountConfig> {
  let value: unknown = {};
  try {
    if (text !== '') value = JSON.parse(text);
  } catch (cause) {
    throw new VolumeError('mount_config is not JSON', { cause });
  }
  const parsed = mountConfig.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new VolumeError(`mount_config${issue?.path.length ? `.${issue.path.join('.')}` : ''}: ${issue?.message}`);
}
