import { z } from 'zod';
import { ImageError } from '../image-error.js';
import { isDigest } from './digest.js';
import { checked, parseJson } from './manifest.js';

/** What an image says about how its programs are run. Empty: it says nothing. */
export interface ImageDefaults {
  env: Record<string, string>;
  /** As it is written: name or number, with or without a group. */
  user: string;
  dir: string;
  /** What it runs, and what that is given unless somebody says otherwise. */
  entrypoint: string[];
  cmd: string[];
  /** TCP ports that it says it listens on, ascending. */
  ports: number[];
}

export interface ImageConfig {
  os: string;
  architecture: string;
  /** Digests of the unpacked layers, lowest first. */
  diffIds: string[];
  defaults: ImageDefaults;
}

const schema = z.object({
  os: z.string().default('linux'),
  architecture: z.string().default(''),
  config: z
    .object({
      Env: z.array(z.string()).nullish(),
      User: z.string().nullish(),
      WorkingDir: z.string().nullish(),
      Entrypoint: z.array(z.string()).nullish(),
      Cmd: z.array(z.string()).nullish(),
      ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
    })
    .nullish(),
  rootfs: z.object({ diff_ids: z.array(z.string().refine(isDigest, 'is no digest')) }),
});

/** Reads an image's configuration. @throws ImageError `damaged` */
export function parseImageConfig(content: Buffer, { name, layers }: { name: string; layers: number }): ImageConfig {
  const { os, architecture, config, rootfs } = checked(schema, parseJson(content, name, 'configuration'), name);
  if (rootfs.diff_ids.length !== layers)
    throw new ImageError(
      'damaged',
      `image ${name}: ${layers} layers, but its configuration has ${rootfs.diff_ids.length}`,
    );
  return {
    os,
    architecture,
    diffIds: rootfs.diff_ids,
    defaults: {
      env: variables(config?.Env ?? []),
      user: config?.User ?? '',
      dir: config?.WorkingDir ?? '',
      entrypoint: config?.Entrypoint ?? [],
      cmd: config?.Cmd ?? [],
      ports: tcpPorts(Object.keys(config?.ExposedPorts ?? {})),
    },
  };
}

/** Of `8080/tcp`, `8080` and `53/udp`, those of TCP. What is no port is left out: an image may say anything. */
function tcpPorts(exposed: readonly string[]): number[] {
  const ports = exposed.map((port) => Number(/^(\d{1,5})(?:\/tcp)?$/i.exec(port)?.[1] ?? 0));
  return [...new Set(ports.filter((port) => port >= 1 && port <= 65_535))].sort((a, b) => a - b);
}

function variables(entries: readonly string[]): Record<string, string> {
  const pairs = entries.filter((entry) => entry.indexOf('=') > 0 && !entry.includes('\0'));
  return Object.fromEntries(
    pairs.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
  );
}
