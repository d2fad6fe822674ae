import { type DestinationStream, type Logger as PinoLogger, pino, stdSerializers } from 'pino';
import pretty from 'pino-pretty';
import { redact, redactText } from './redact.js';

export type Logger = PinoLogger;

export interface LoggerOptions {
  /** The program or part, in every line. */
  readonly name: string;
  /** trace, debug, info (default), warn, error, fatal or silent. */
  readonly level?: string;
  /** For people instead of programs. */
  readonly pretty?: boolean;
  /** Default: standard output. */
  readonly destination?: NodeJS.WritableStream;
}

/** JSON lines with secrets taken out, wherever in the logged objects they stand. */
export function createLogger({ name, level = 'info', pretty: forPeople = false, destination }: LoggerOptions): Logger {
  const logger = pino(
    {
      name,
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: (error: unknown) => redact(error instanceof Error ? stdSerializers.err(error) : error) },
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => redact(fields) as Record<string, unknown>,
      },
      hooks: { streamWrite: redactText },
    },
    destinationOf(forPeople, destination),
  );
  // pino gives the fields of child loggers to no formatter; children of children inherit this one.
  logger.child = new Proxy(logger.child, {
    apply: (child, parent, [fields, options]) => Reflect.apply(child, parent, [redact(fields), options]),
  });
  return logger;
}

function destinationOf(forPeople: boolean, destination: NodeJS.WritableStream | undefined): DestinationStream {
  if (forPeople) {
    return pretty({
      destination: destination ?? 1,
      colorize: destination === undefined && process.stdout.isTTY === true,
      ignore: 'pid,hostname',
      sync: true,
    });
  }
  return destination ?? pino.destination({ dest: 1, sync: true });
}

/** Says nothing; for tests and for callers who do not want to hear. */
export const silentLogger: Logger = pino({ level: 'silent' });
