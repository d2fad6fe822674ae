import type { z } from 'zod';
import { type ConfigKey, configKeys } from './keys.js';

/** A Markdown table of every key: name, environment variable, type, default, meaning. */
export function configTable(schema: z.ZodObject, envPrefix?: string): string {
  const rows = configKeys(schema, envPrefix).map((key) => [
    `\`${key.path.join('.')}\``,
    `\`${key.variable}\``,
    key.type,
    defaultOf(key),
    key.meaning,
  ]);
  return [['Key', 'Environment variable', 'Type', 'Default', 'Meaning'], ['---', '---', '---', '---', '---'], ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`)
    .join('\n');
}

/** An empty text is written with its quotes: nothing between backticks is no code. */
function defaultOf({ defaultText, required }: ConfigKey): string {
  if (defaultText === undefined) return required ? 'required' : '—';
  return `\`${defaultText === '' ? '""' : defaultText}\``;
}
