import { GardenError } from '../../garden.js';

/** A user as the container's own files know it. */
export interface ContainerUser {
  name: string;
  uid: number;
  gid: number;
  additionalGids: number[];
  home: string;
  /** Empty when unknown. */
  shell: string;
}

/** Needs no user database. */
export const ROOT: ContainerUser = { name: 'root', uid: 0, gid: 0, additionalGids: [], home: '/root', shell: '' };
const MAX_ID = 4_294_967_294;

/**
 * Finds a user by name or number, with a group by name or number behind a colon or without. Empty is root; root needs no user
 * database, and numbers need none either.
 * @throws GardenError `process-failed` when there is no such user or group
 */
export function findUser(o: { user: string; passwd: string | undefined; group: string | undefined }): ContainerUser {
  const wanted = o.user === '' ? 'root' : o.user;
  const numeric = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(wanted);
  const users = parsePasswd(o.passwd ?? '');
  if (numeric) {
    const uid = Number(numeric[1]);
    if (uid > MAX_ID || Number(numeric[2] ?? 0) > MAX_ID)
      throw new GardenError('process-failed', `user '${wanted}' is out of range`);
    const known = users.find((user) => user.uid === uid) ?? (uid === 0 ? ROOT : undefined);
    const user = known ?? { name: String(uid), uid, gid: 0, additionalGids: [], home: '/', shell: '' };
    if (numeric[2] !== undefined) return { ...user, gid: Number(numeric[2]) };
    return withGroups(user, o.group);
  }
  const [name = '', groupName] = wanted.split(':');
  if (groupName !== undefined) {
    const user = findUser({ ...o, user: name });
    return { ...user, gid: findGroup(groupName, o.group), additionalGids: [] };
  }
  const known = users.find((user) => user.name === wanted) ?? (wanted === 'root' ? ROOT : undefined);
  if (!known)
    throw new GardenError('process-failed', `unable to find user ${wanted}: no matching entries in passwd file`);
  return withGroups(known, o.group);
}

/**
 * A user whose ids all exist in a container that has the ids from 0 to `size` - 1.
 * @throws GardenError `process-failed` naming the id that doesn't
 */
export function assertMapped(user: ContainerUser, size: number): void {
  const outside = [user.uid, user.gid, ...user.additionalGids].find((id) => id >= size);
  if (outside === undefined) return;
  throw new GardenError(
    'process-failed',
    `user '${user.name}' has the id ${outside}: ids of a container with a user namespace end at ${size - 1}`,
  );
}

function findGroup(wanted: string, group: string | undefined): number {
  if (/^\d{1,10}$/.test(wanted) && Number(wanted) <= MAX_ID) return Number(wanted);
  for (const line of (group ?? '').split('\n')) {
    const [name, , gid] = line.split(':');
    if (name === wanted && gid && /^\d+$/.test(gid)) return Number(gid);
  }
  throw new GardenError('process-failed', `unable to find group ${wanted}: no matching entries in group file`);
}

function withGroups(user: ContainerUser, group: string | undefined): ContainerUser {
  const additionalGids: number[] = [];
  for (const line of (group ?? '').split('\n')) {
    const [, , gid, members] = line.split(':');
    if (gid && /^\d+$/.test(gid) && members?.split(',').includes(user.name)) additionalGids.push(Number(gid));
  }
  return { ...user, additionalGids };
}

function parsePasswd(text: string): ContainerUser[] {
  const users: ContainerUser[] = [];
  for (const line of text.split('\n')) {
    const [name, , uid, gid, , home, shell] = line.split(':');
    if (!name || !uid || !gid || !/^\d+$/.test(uid) || !/^\d+$/.test(gid)) continue;
    users.push({
      name,
      uid: Number(uid),
      gid: Number(gid),
      additionalGids: [],
      home: home?.startsWith('/') ? home : '/',
      shell: shell ?? '',
    });
  }
  return users;
}
