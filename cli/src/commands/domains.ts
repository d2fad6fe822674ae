import { Domain } from '@rivera/gen/rivera/bbs/v1/domain_service';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import type { Io } from '../io.js';
import { parseMilliseconds } from '../recipe/quantities.js';
import { renderTable } from '../terminal/table.js';
import { formatAge } from '../terminal/time.js';

/** `rivera domains [set NAME]`: whose desired state is complete. */
export function addDomains(program: Command, io: Io, outcome: Outcome): void {
  const domains = withConnection(
    program.command('domains').description('domains whose desired state is complete (fresh)'),
  );
  examples(
    domains,
    ['rivera domains', 'which are fresh'],
    ['rivera domains set apps --ttl 2m', 'declare it complete for two minutes'],
  );
  perform(domains, io, outcome, async (session) => {
    const client = await session.client();
    const rows: string[][] = [];
    for await (const domain of client.domains.list({}, { signal: session.signal })) {
      if (session.out.json) await session.out.line(Domain.toJSON(domain));
      else rows.push([domain.domain, expiry(domain)]);
    }
    if (session.out.json) return undefined;
    if (rows.length === 0) await session.out.note('No fresh domains found.\n');
    else await session.out.data(renderTable(['domain', 'fresh for'], rows));
    return undefined;
  });
  addSet(domains, io, outcome);

  function expiry(domain: Domain): string {
    return domain.expiresAt === undefined ? 'ever' : formatAge(domain.expiresAt.getTime() - io.now());
  }
}

function addSet(domains: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    domains
      .command('set')
      .argument('<name>', 'of the domain')
      .description('declare that what is desired for a domain is complete'),
  ).option('-t, --ttl <time>', 'for how long, e.g. 30s (default: until declared anew)', (text: string) =>
    parseMilliseconds(text),
  );
  perform<{ ttl?: number }>(command, io, outcome, async (session, [name = ''], { ttl = 0 }) => {
    const client = await session.client();
    const domain = await client.domains.upsert(name, ttl, { signal: session.signal });
    if (session.out.json) await session.out.line(Domain.toJSON(domain));
    return undefined;
  });
}
