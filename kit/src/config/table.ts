import type { z } from 'zod';
import { configKeys } from './keys.js';

/** A Markdown table of every key: name, environment variable, type, default, meaning. */
export function configTable(schema: z.ZodObject, envPrefix?: string): string {
  const rows = configKeys(schema, envPrefix).map((key) => [
    `\`${key.path.join('.')}\``,
    `\`${key.variable}\``,
    key.type,
    key.defaultText === undefined ? (key.required ? 'required' : '—') : `\`${key.defaultText}\``,
    key.meaning,
  ]);
  return [['Key', 'Environment variable', 'Type', 'Default', 'Meaning'], ['---', '---', '---', '---', '---'], ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`)
    .join('\n');
}
