import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { localError, usageError } from '../failures.js';
import type { Io } from '../io.js';
import { parseMilliseconds } from '../recipe/quantities.js';
import { renderTable } from '../terminal/table.js';
import { collect } from './work-options.js';

interface AddOptions {
  name?: string;
  process?: string[];
  ttl?: number;
}

/** `rivera ssh-key`: public keys that may log in. */
export function addSshKey(program: Command, io: Io, outcome: Outcome): void {
  const group = program.command('ssh-key').description('public keys that may log in');
  const add = withConnection(
    group.command('add').argument('<file>', 'a .pub file').description('register a public key'),
  )
    .option('--name <name>', "whose it is, for the audit (default: the key's comment)")
    .option('--process <guid>', 'only into this LRP; repeatable', collect)
    .option('--ttl <time>', 'only for so long, e.g. 8h', (text: string) => parseMilliseconds(text));
  examples(
    add,
    ['rivera ssh-key add ~/.ssh/id_ed25519.pub', 'into every LRP that lets SSH in'],
    ['rivera ssh-key add key.pub --process hello --ttl 8h', 'into one, for a day of work'],
  );
  perform<AddOptions>(add, io, outcome, async (session, [file = ''], options) => {
    const line = await readFile(resolve(io.cwd, file), 'utf8').catch((error: Error) => {
      throw localError(`${file} can't be read: ${error.message}`, [], error);
    });
    // It must not leave this machine, not even to be refused.
    if (line.includes('PRIVATE KEY')) {
      throw usageError(`${file} is a private key, which nobody else should see`, `rivera ssh-key add ${file}.pub`);
    }
    const name = options.name ?? line.trim().split(/\s+/).slice(2).join(' ');
    if (name === '') throw usageError(`${file} has no comment`, 'Say whose it is with --name.');
    const client = await session.client();
    const key = await client.ssh.addKey(line.trim(), {
      name,
      processGuids: options.process ?? [],
      ...(options.ttl !== undefined && { ttlMs: options.ttl }),
      signal: session.signal,
    });
    if (session.out.json) await session.out.line({ fingerprint: key.fingerprint, name: key.name });
    else await session.out.data(`${key.fingerprint}\n`);
    return undefined;
  });

  const list = withConnection(group.command('list').description('registered public keys'));
  examples(list, ['rivera ssh-key list', 'fingerprints, whose they are, into what']);
  perform(list, io, outcome, async (session) => {
    const client = await session.client();
    const rows: string[][] = [];
    for await (const { fingerprint, name, processGuids, expiresAt } of client.ssh.keys({ signal: session.signal })) {
      if (session.out.json)
        await session.out.line({ fingerprint, name, processGuids, expiresAt: expiresAt?.toISOString() });
      else rows.push([fingerprint, name, processGuids.join(', ') || 'all', expiresAt?.toISOString() ?? 'never']);
    }
    if (session.out.json) return undefined;
    if (rows.length === 0) await session.out.note('No public keys are registered.\n');
    else await session.out.data(renderTable(['fingerprint', 'name', 'lrps', 'expires'], rows));
    return undefined;
  });

  const remove = withConnection(
    group.command('rm').argument('<fingerprint>', 'SHA256:…, see list').description('forget a public key'),
  );
  examples(remove, ['rivera ssh-key rm SHA256:abc…', 'it opens nothing any more']);
  perform(remove, io, outcome, async (session, [fingerprint = '']) => {
    const client = await session.client();
    await client.ssh.removeKey(fingerprint, { signal: session.signal });
    return undefined;
  });
}
