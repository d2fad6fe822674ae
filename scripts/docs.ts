/**
 * Writes the pages of docs/ that repeat what the code says: settings, errors and metrics.
 *
 *   node --conditions=source --import tsx scripts/docs.ts [--check]
 *
 * With --check nothing is written: it fails when a page is not what the code says.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { status } from '@grpc/grpc-js';
import { ALL_CELL_METRICS } from '@rivera/cells/agent/cell-metrics';
import { cellConfig } from '@rivera/cells/agent/config';
import { configTable } from '@rivera/kit/config';
import { ERRORS } from '@rivera/kit/errors';
import type { MetricSpec } from '@rivera/kit/metrics';
import { aliasTable, metricTable } from '@rivera/kit/metrics/table';
import { SERVER_METRICS } from '@rivera/server/admin/catalogue';
import { serverConfig } from '@rivera/server/config';

const ROOT = resolve(import.meta.dirname, '..');
const GENERATED = '<!-- Written by scripts/docs.ts from the code; a change here is lost. -->';

const PAGES: { readonly [file: string]: () => string } = {
  'docs/configuration.md': configurationPage,
  'docs/errors.md': errorsPage,
  'docs/metrics.md': metricsPage,
};

function configurationPage(): string {
  return `# Settings

${GENERATED}

\`rivera server\` and \`rivera cell\` each read one YAML file, named by \`--config\`. Every key can also be set in the
environment, which wins over the file. With \`--check\` the settings are only looked at. A mistake stops the start; the complaint
names the file, the key and the rule, and an unknown key is answered with the nearest known one.

- A key with dots is nested in the file: \`tls.ca\` is \`ca:\` below \`tls:\`.
- A duration is a number with a unit (\`250ms\`, \`15s\`, \`1m30s\`); a bare number is milliseconds. A size is \`64MiB\` or \`1.5GB\`;
  a bare number is bytes.
- A list in the environment is separated by commas. An empty variable counts as not set.
- The client commands use \`RIVERA_SERVERS\`, \`RIVERA_CA\`, \`RIVERA_CERT\`, \`RIVERA_KEY\` and \`RIVERA_CONTEXT\`. Don't start a role in a
  shell in which \`RIVERA_SERVERS\` is meant for them: it would win over the role's file.

The same tables: \`rivera config server\`, \`rivera config cell\`.

## Server

${configTable(serverConfig)}

## Cell

${configTable(cellConfig)}
`;
}

function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(([reason, { code, retryable, diegoType, meaning }]) => [
    `\`${reason}\``,
    status[code] ?? String(code),
    retryable ? 'yes' : 'no',
    diegoType === undefined ? '—' : String(diegoType),
    meaning,
  ]);
  const head = ['Reason', 'gRPC status', 'Retry', 'Diego', 'Meaning'];
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  return `# Errors

${GENERATED}

A failed call ends with a gRPC status, and with details as \`google.rpc\` defines them in the trailer \`grpc-status-details-bin\`:

- \`ErrorInfo\`: domain \`rivera\`, the reason below, and facts as metadata (\`NOT_LEADER\`: \`leader_address\`);
- \`RetryInfo\`: how long to wait, when the server says so;
- \`ResourceInfo\`: the record it is about;
- \`BadRequest\`: every broken rule of an \`INVALID_REQUEST\`, each with the path of its field.

"Retry" says whether the same request may succeed later, unchanged. It does not say that the failed one had no effect: after
\`UNAVAILABLE\`, \`DEADLINE_EXCEEDED\` and \`OUTCOME_UNKNOWN\` read first, or ask for something that may be repeated. The Node SDK does this
by itself. "Diego" is the number of the error type that stands for it in Cloud Foundry's Diego.

${lines.join('\n')}
`;
}

function metricsPage(): string {
  const own = new Set(ALL_CELL_METRICS.map(({ title }) => title));
  const shared = SERVER_METRICS.filter(({ title }) => own.has(title));
  const server = SERVER_METRICS.filter((group) => !shared.includes(group));
  const cell = ALL_CELL_METRICS.filter(({ title }) => !shared.some((group) => group.title === title));
  return `# Metrics, health and audit

${GENERATED}

Servers and cells have an admin port once \`admin.port\` is set (\`RIVERA_ADMIN_PORT\`); it listens on \`admin.host\`, 127.0.0.1 unless
told otherwise, speaks plain HTTP and asks nobody who they are.

| Path | Answers |
| --- | --- |
| \`/metrics\` | The numbers below, in the text format of Prometheus |
| \`/healthz\` | 200 while the process lives |
| \`/readyz\` | 200 when a server leads or stands by with a database that answers, or a cell is known to BBS and auctioneer; else 503 with the reasons |
| \`/debug/state\` | What the program knows, as JSON lines, without secrets; the last line has the kind \`end\`. For this machine alone, unless \`admin.remoteState\` says otherwise |

Numbers of a server's state are there while it leads and absent while it stands by; counters go on over all its terms. A server counts
its records from what becomes durable, so the numbers are those of a listing at that moment.

## Server

${server.map(section).join('\n\n')}

## Cell

${cell.map(section).join('\n\n')}

## Server and cell

${shared.map(section).join('\n\n')}

## Names of the reference

Dashboards and alerts made for Cloud Foundry's Diego find these. They are shown beside the metrics that they are made of. Numbers that
Diego counts anew since its last report only grow here, so ask for their rate.

${aliasTable([...server, ...cell, ...shared].flatMap(({ specs }) => specs))}

## Audit

Every call that may change something, or shows what is nobody else's business, is one line of JSON when it is over, refused calls included: with
the log and marked \`"audit": true\`, or in the file that \`audit.file\` names.

| Field | Is |
| --- | --- |
| \`time\` | When the call was over |
| \`role\`, \`peer\` | Role and name of the caller's certificate |
| \`from\` | Address and port that it came from |
| \`method\` | The gRPC method |
| \`taskGuid\`, \`processGuid\`, \`index\`, \`instanceGuid\`, \`domain\`, \`cellId\`, \`lock\`, \`owner\`, \`path\`, \`user\` … | What the request names; nothing else of it is written |
| \`outcome\` | The gRPC status, \`OK\` when it was done; \`UNANSWERED\`: the stream ended before the answer |
| \`ms\` | From its arrival to its end |
| \`messages\` | Of a stream: messages that came from the client |

A stream of numbered commands (\`DesireLrps\`) has a line for each command, and one for itself. Which calls are audited follows from the
access tables: all that readers may not make, but for those that are named there as mere readings. What the file has can be
rotated by truncating it; it is opened for appending.
`;
}

function section({ title, specs }: { title: string; specs: readonly MetricSpec[] }): string {
  return `### ${title}\n\n${metricTable(specs)}`;
}

/** As the linter wants it, so that both can be content. */
function formatted(file: string, text: string): string {
  const biome = join(ROOT, 'node_modules/.bin/biome');
  return execFileSync(biome, ['format', `--stdin-file-path=${file}`], { cwd: ROOT, input: text, encoding: 'utf8' });
}

function current(file: string): string | undefined {
  try {
    return readFileSync(join(ROOT, file), 'utf8');
  } catch {
    return undefined;
  }
}

const stale: string[] = [];
for (const [file, page] of Object.entries(PAGES)) {
  const text = formatted(file, page());
  if (text === current(file)) continue;
  stale.push(file);
  if (!process.argv.includes('--check')) writeFileSync(join(ROOT, file), text);
}
if (process.argv.includes('--check') && stale.length > 0) {
  process.stderr.write(
    `${stale.join(', ')}: not what the code says. Run: node --conditions=source --import tsx scripts/docs.ts\n`,
  );
  process.exitCode = 1;
}
