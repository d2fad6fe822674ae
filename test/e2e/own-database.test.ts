import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PrivateMariaDb } from '@rivera/server/database/private-mariadb';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RIVERA } from '../stack/program.js';
import { until } from '../stack/until.js';

const folder = mkdtempSync(join(tmpdir(), 'rivera-own-'));
let database: PrivateMariaDb;

beforeAll(async () => {
  database = await PrivateMariaDb.start({ folder: join(folder, 'mine'), database: 'platform', durable: false });
}, 60_000);
afterAll(async () => {
  await database?.stop();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

it('rivera up uses the database that RIVERA_DATABASE_URL names, and makes none of its own', async () => {
  const data = join(folder, 'data');
  const up = spawn(process.execPath, [RIVERA, 'up', '--data', data, '--no-example', '--json'], {
    env: { ...process.env, RIVERA_DATABASE_URL: database.url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  up.stdout.on('data', (part: Buffer) => {
    said += part.toString();
  });
  const ended = new Promise((resolve) => up.once('exit', resolve));
  try {
    await until('everything runs', () => /"event":"ready"/.test(said));
    expect(existsSync(join(data, 'db'))).toBe(false);
    for (const line of said.trim().split('\n')) expect(() => JSON.parse(line)).not.toThrow();
  } finally {
    up.kill('SIGINT');
  }
  expect(await ended).toBe(0);
}, 120_000);
