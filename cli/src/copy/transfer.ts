import { constants, createReadStream } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, stat, utimes } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ContainerTarget } from '@rivera/gen/rivera/rep/v1/container';
import type { RiveraClient } from '@rivera/sdk/client';
import { extract, type Header, pack } from 'tar-stream';
import { isAnswer } from '../describe.js';
import { CliError, EXIT, localError } from '../failures.js';
import { oneLine } from '../terminal/text.js';
import { type ContainerPath, landing } from './places.js';

/** A folder of more than this is not copied with this tool. */
const MAX_ENTRIES = 1_000_000;

export interface Transfer {
  readonly client: RiveraClient;
  readonly inside: ContainerPath;
  /** Here. */
  readonly path: string;
  readonly cwd: string;
  readonly user: string | undefined;
  readonly signal: AbortSignal;
  readonly moved: (bytes: number, total: number | undefined) => void;
}

export interface Transferred {
  files: number;
  bytes: number;
  /** Links and devices. */
  leftOut: number;
}

type NewHeader = Parameters<ReturnType<typeof pack>['entry']>[0];

interface Entry {
  readonly path: string;
  readonly header: NewHeader;
}

/** Copies a file or folder of ours into a container. @throws CliError when it can't be read */
export async function upload({ client, inside, path, cwd, user, signal, moved }: Transfer): Promise<Transferred> {
  const source = resolve(cwd, path);
  const { folder, name } = landing(inside.path, basename(source));
  const result = { files: 0, bytes: 0, leftOut: 0 };
  const entries: Entry[] = [];
  await gather(source, name, entries, result);
  const total = entries.reduce((sum, { header }) => sum + (header.size ?? 0), 0);
  const tar = pack();
  const filling = fill(tar, entries, (bytes) => {
    result.bytes += bytes;
    moved(result.bytes, total);
  }).catch((error: Error) => {
    tar.destroy(error);
    throw error;
  });
  const target = targetOf(inside);
  const options = { signal, ...(user !== undefined && { user }) };
  await Promise.all([client.writeFiles(target, folder, tar as unknown as Readable, options), filling]).catch(
    (error: unknown) => {
      throw uploadFailed(error, inside, user);
    },
  );
  result.files = entries.filter(({ header }) => header.type === 'file').length;
  return result;
}

/** What a cell says of a failed copy names neither the folder that stands in its way nor whose the files were to be. */
function uploadFailed(error: unknown, { processGuid, index, path }: ContainerPath, user: string | undefined): unknown {
  if (!isAnswer(error) || error.reason !== 'INVALID_REQUEST') return error;
  const next = [
    ...(path.endsWith('/')
      ? []
      : [`If ${path} is a folder there, copy into it with a slash:  ${processGuid}/${index}:${path}/`]),
    ...(user !== undefined && user !== 'root' ? ['Without --user it is done as root.'] : []),
  ];
  return new CliError(EXIT.answered, `${oneLine(error.message)} (${error.reason})`, next, { cause: error });
}

async function gather(path: string, name: string, entries: Entry[], result: Transferred): Promise<void> {
  if (entries.length >= MAX_ENTRIES) throw localError(`there are more than ${MAX_ENTRIES} files and folders`);
  const facts = await (entries.length === 0 ? stat(path) : lstat(path)).catch((error: Error) => {
    throw localError(`${path} can't be read: ${error.message}`, [], error);
  });
  const header = { name, mode: facts.mode & 0o7777, mtime: facts.mtime, uid: 0, gid: 0 };
  if (facts.isDirectory()) {
    entries.push({ path, header: { ...header, type: 'directory' } });
    for (const child of (await readdir(path)).sort())
      await gather(join(path, child), `${name}/${child}`, entries, result);
  } else if (facts.isFile()) {
    entries.push({ path, header: { ...header, type: 'file', size: facts.size } });
  } else {
    result.leftOut++;
  }
}

async function fill(
  tar: ReturnType<typeof pack>,
  entries: readonly Entry[],
  moved: (bytes: number) => void,
): Promise<void> {
  for (const { path, header } of entries) {
    if (header.type !== 'file') {
      await new Promise<void>((done, fail) => tar.entry(header, (error) => (error ? fail(error) : done())));
      continue;
    }
    const entry = tar.entry(header);
    const size = header.size ?? 0;
    // A file that grows meanwhile is cut where it ended when we looked.
    const content = size > 0 ? createReadStream(path, { end: size - 1 }) : undefined;
    content?.on('data', (chunk) => moved(chunk.length));
    if (content) await pipeline(content, entry as unknown as NodeJS.WritableStream);
    else entry.end(Buffer.alloc(0));
  }
  tar.finalize();
}

/** Copies a file or folder of a container to us. Nothing of it can land outside its place. @throws CliError, RiveraError */
export async function download({ client, inside, path, cwd, user, signal, moved }: Transfer): Promise<Transferred> {
  const name = basename(inside.path) || 'root';
  const here = resolve(cwd, path);
  const into = path.endsWith('/') || (await stat(here).catch(() => undefined))?.isDirectory();
  const top = into ? join(here, name) : here;
  await requireFolder(dirname(top));
  const result = { files: 0, bytes: 0, leftOut: 0 };
  const folders: { path: string; header: Header }[] = [];
  const options = { signal, ...(user !== undefined && { user }) };
  const tar = client.readFiles(targetOf(inside), inside.path.replace(/(.)\/+$/, '$1'), options);
  const unpacked = extract();
  const reading = pipeline(tar, unpacked as unknown as NodeJS.WritableStream);
  reading.catch(() => undefined);
  for await (const entry of unpacked) {
    const { header } = entry;
    const place = placeOf(top, header.name);
    await mkdirs(top, place, header.type === 'directory');
    if (header.type === 'file' || header.type === 'contiguous-file') {
      // Never through a link, whoever has put it there.
      const file = await open(
        place,
        constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
        0o600,
      );
      try {
        for await (const chunk of entry as AsyncIterable<Buffer>) {
          await file.writeFile(chunk);
          result.bytes += chunk.length;
          moved(result.bytes, undefined);
        }
        await file.chmod((header.mode ?? 0o644) & 0o777);
        if (header.mtime) await file.utimes(header.mtime, header.mtime);
      } finally {
        await file.close();
      }
      result.files++;
    } else {
      entry.resume();
      if (header.type === 'directory') folders.push({ path: place, header });
      else result.leftOut++;
    }
  }
  await reading;
  // Innermost first: what is written into a folder changes its time.
  for (const folder of folders.reverse()) {
    await chmod(folder.path, ((folder.header.mode ?? 0o755) & 0o777) | 0o700);
    if (folder.header.mtime) await utimes(folder.path, folder.header.mtime, folder.header.mtime);
  }
  return result;
}

/** @throws CliError before anything was fetched */
async function requireFolder(folder: string): Promise<void> {
  const facts = await stat(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT')
      throw localError(`there is no folder ${folder}`, [`Make it:  mkdir -p ${folder}`], error);
    throw localError(`${folder} can't be used: ${error.message}`, [], error);
  });
  if (!facts.isDirectory()) throw localError(`${folder} is no folder`);
}

/** An entry's place: its first name is the thing itself. @throws CliError for names that lead elsewhere */
export function placeOf(top: string, name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || name.includes('\0')) throw localError(`the container sent a file called '${name}'`);
  return join(top, ...parts.slice(1));
}

/** Makes the folders from `top` down to a place, each of which must be one and no link. */
async function mkdirs(top: string, place: string, isFolder: boolean): Promise<void> {
  const parts = place.slice(top.length).split('/').filter(Boolean);
  const folders = [...(parts.length > 0 || isFolder ? [top] : [])];
  for (let i = 1; i <= (isFolder ? parts.length : parts.length - 1); i++) folders.push(join(top, ...parts.slice(0, i)));
  for (const folder of folders) {
    const found = await lstat(folder).catch(() => undefined);
    if (found === undefined) await mkdir(folder, { mode: 0o700 });
    else if (!found.isDirectory()) throw localError(`${folder} is in the way`);
  }
}

function targetOf({ processGuid, index }: ContainerPath): ContainerTarget {
  return ContainerTarget.fromPartial({ target: { $case: 'instance', value: { processGuid, index } } });
}
