import type { GardenProcess } from '../../garden/garden.js';
import type { LogSink } from '../logs/container-log.js';

/**
 * Reads a process's output into the log until it ends. Reading starts with the first line that the garden still has, so
 * after a restart of the agent the log, which is kept in memory, is filled again.
 */
export async function logOutput(process: GardenProcess, sink: LogSink, signal: AbortSignal): Promise<void> {
  const splitters = { stdout: sink.splitter('stdout'), stderr: sink.splitter('stderr') };
  for await (const piece of process.output(signal)) {
    const splitter = splitters[piece.stream];
    splitter.push(piece.data, piece.timeMs);
    if (!piece.partial) splitter.end();
  }
  splitters.stdout.end();
  splitters.stderr.end();
}
