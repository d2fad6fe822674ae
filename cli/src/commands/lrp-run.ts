import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import type { Io } from '../io.js';
import { readDocument } from '../recipe/document.js';
import { type LrpFlags, lrpFrom } from '../recipe/lrp-spec.js';
import { parseCount, parseMilliseconds } from '../recipe/quantities.js';
import { showRunning, untilRunning } from './wait-for-running.js';
import { settlingOf, type WaitingToRun, withSettling } from './waiting.js';
import { withWork } from './work-options.js';

interface Options extends LrpFlags, WaitingToRun {
  file?: string;
}

/** `rivera lrp run`: desires an LRP and waits until its instances run. */
export function addLrpRun(parent: Command, io: Io, outcome: Outcome): void {
  const command = withSettling(
    withWork(
      withConnection(
        parent
          .command('run')
          .argument('[name]', 'of the LRP; may come from the spec')
          .argument('[command...]', 'what each instance runs, behind --')
          .description('keep instances of a command up, in containers'),
      ),
    ),
  )
    .option('-i, --instances <n>', 'how many to keep up (default 1)', parseCount('--instances', 0, 10_000))
    .option(
      '-p, --port <port>',
      'container port to be reached from outside; repeatable',
      (text: string, before: readonly number[] = []) => [...before, parseCount('--port', 1, 65_535)(text)],
    )
    .option(
      '--check <check>',
      'health check: tcp, tcp:PORT, http:/path, http:PORT/path, none (default: tcp on the first port)',
    )
    .option('--ssh', 'let people in with `rivera ssh`')
    .option('--start-timeout <time>', 'time to become healthy (default 60s)', (text: string) =>
      parseMilliseconds(text),
    );
  examples(
    command,
    ['rivera lrp run web --port 8080 -- httpd -f -p 8080', 'a web server'],
    ['rivera lrp run web -i 3 -p 8080 --check http:/ -- httpd -f -p 8080', 'three, each asked over HTTP'],
    ['rivera lrp run -f web.yaml', 'from a spec'],
  );
  perform<Options>(command, io, outcome, async (session, [name, ...words], options) => {
    const file =
      options.file === undefined ? undefined : { document: await readDocument(options.file, io), source: options.file };
    const lrp = lrpFrom(name, options, words, file, io.env);
    const client = await session.client();
    const desired = await client.desiredLrps.desire(lrp, { signal: session.signal });
    if (!options.wait) {
      await (session.out.json
        ? session.out.line(DesiredLrp.toJSON(desired))
        : session.out.data(`${lrp.processGuid}\n`));
      return undefined;
    }
    const running = await untilRunning(session, lrp.processGuid, {
      instances: lrp.instances,
      settleMs: settlingOf(lrp, options),
      timeoutMs: options.waitTimeout,
    });
    await showRunning(session, lrp.processGuid, running);
    if (lrp.ports.length === 0 && session.out.watched) {
      await session.out.note('It has no port that can be reached from outside; --port N maps one.\n');
    }
    return undefined;
  });
}
