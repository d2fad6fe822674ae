import { readdir } from 'node:fs/promises';
import { NETNS_DIR } from '../places.js';

/** Network namespaces of the machine, by name. */
export async function namespaces(): Promise<string[]> {
  return readdir(NETNS_DIR).catch(() => []);
}
