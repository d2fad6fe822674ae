import { chmod, chown, lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Volume, type VolumeDriver, VolumeError } from './driver.js';

const ID = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;
const EVERYBODY = 0o777;

/** Who a new volume belongs to, by the ids that containers know. What is there already stays as it is. */
const mountConfig = z.strictObject({
  uid: z.number().int().min(0).max(65_535).default(0),
  gid: z.number().int().min(0).max(65_535).default(0),
  mode: z
    .string()
    .regex(/^[0-7]{3,4}$/, 'must be octal, like "0750"')
    .optional(),
});

/**
 * Volumes that are directories of this machine. They are made when first asked for, stay when their containers go, and are never
 * removed here: what they hold is somebody's. Shared and dedicated ones of one id are two.
 */
export class LocalDriver implements VolumeDriver {
  readonly name = 'local';

  constructor(private readonly directory: string) {}

  async start(): Promise<void> {
    // Nobody but containers gets here, so that rights of files made inside are worth nothing outside.
    for (const kind of ['shared', 'dedicated'])
      await mkdir(join(this.directory, kind), { recursive: true, mode: 0o700 });
    await chmod(this.directory, 0o700);
  }

  async mount(_container: string, volume: Volume): Promise<string> {
    if (!ID.test(volume.id))
      throw new VolumeError(`volume id '${volume.id}' is not 1..128 of A-Z a-z 0-9 . _ - without a dot at its begin`);
    if (volume.deviceConfig !== '')
      throw new VolumeError('device_config must be empty: local volumes have no settings');
    const { uid, gid, mode } = settingsOf(volume.mountConfig);
    const path = join(this.directory, volume.kind, volume.id);
    const made = await mkdir(path).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST') return false;
        throw error;
      },
    );
    if (made) {
      await chown(path, uid, gid);
      await chmod(path, mode === undefined ? EVERYBODY : Number.parseInt(mode, 8));
    }
    if (!(await lstat(path)).isDirectory()) throw new VolumeError(`volume '${volume.id}' is not a directory`);
    return path;
  }

  async unmount(): Promise<void> {
    // A directory is there whether or not anybody uses it.
  }
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
