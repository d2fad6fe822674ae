import type { RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import { type ExitStatus, GardenError, type GardenProcess, type MemoryShare } from '../../garden/garden.js';
import { durationText } from '../duration-text.js';
import type { LogSink } from '../logs/container-log.js';
import { endProcess } from './end-process.js';
import { logOutput } from './process-output.js';
import { CANCELLED, failed, type Step, type StepContext, type StepResult, type StepRun } from './step.js';

/** How long output may still arrive after a process has ended. */
const DRAIN_MS = 2000;

/**
 * Runs a process and waits for it (spec cell §21). Its id is the step's place in the recipe and the garden never starts an id twice, so
 * whatever is killed when, the process runs at most once: a later executor attaches to it, also when it has ended.
 */
export class RunStep implements Step {
  constructor(
    private readonly id: string,
    private readonly action: RunAction,
    private readonly logSource: string,
    private readonly context: StepContext,
    private readonly memoryShare?: MemoryShare,
  ) {}

  async run({ signal, ready }: StepRun): Promise<StepResult> {
    const { lifetime, log } = this.context;
    const sink = log.sink(this.action.logSource || this.logSource);
    const process = await this.#process(signal, sink);
    if (!('wait' in process)) return process;
    ready();

    const output = this.#follow(process, sink);
    const { exit, killed } = await endProcess(process, signal, this.context).catch((error) => ({
      exit: { code: 255, outOfMemory: false, lost: error instanceof Error ? error.message : String(error) },
      killed: false,
    }));
    if (killed) this.context.counters.exitedOnTimeout++;
    if (!exit) return { kind: 'grace-exceeded', text: 'process did not exit' };
    const drained = new AbortController();
    await Promise.race([output, lifetime.pause(DRAIN_MS, drained.signal)]);
    drained.abort();
    return this.#report(exit, killed, signal.aborted, sink);
  }

  /** The process, or why there is none. */
  async #process(signal: AbortSignal, sink: LogSink): Promise<GardenProcess | NonNullable<StepResult>> {
    const { container, lifetime, environment, memory } = this.context;
    const notStarted = memory.get(`not-started:${this.id}`);
    if (typeof notStarted === 'string') return failed(notStarted);
    const earlier = container.attach(this.id);
    if (earlier) return earlier;
    if (signal.aborted) return CANCELLED;
    const nofile = this.action.resourceLimits?.nofile;
    try {
      const { path, args } = this.#program();
      return await lifetime.alive(
        lifetime.track(
          container.run({
            id: this.id,
            path,
            args,
            env: environment(this.action),
            dir: this.action.dir,
            user: this.action.user,
            ...(nofile !== undefined && { nofile }),
            ...(this.memoryShare && { memoryShare: this.memoryShare }),
          }),
        ),
      );
    } catch (error) {
      const found =
        error instanceof GardenError && error.kind === 'process-exists' ? container.attach(this.id) : undefined;
      if (found) return found;
      const text = error instanceof Error ? error.message : String(error);
      sink.line('stderr', `failed-creating-process: ${text}`);
      await lifetime.alive(memory.set(`not-started:${this.id}`, text));
      return failed(text);
    }
  }

  /** What the action names, else what the image runs. */
  #program(): { path: string; args: string[] } {
    const { path, args } = this.action;
    if (path !== '') return { path, args };
    const { imageEntrypoint = [], imageCmd = [] } = this.context.container.info();
    const [program, ...rest] = [...imageEntrypoint, ...(args.length > 0 ? args : imageCmd)];
    if (!program) throw new Error('the action names no program, and the root filesystem has no entry point');
    return { path: program, args: rest };
  }

  async #follow(process: GardenProcess, sink: LogSink): Promise<void> {
    if (this.action.suppressLogOutput) return;
    const { lifetime } = this.context;
    try {
      await lifetime.alive(logOutput(process, sink, lifetime.signal));
    } catch (error) {
      // Losing output is no reason to fail a process that does its work.
      sink.line('stderr', `output was lost: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #report(exit: ExitStatus, killed: boolean, cancelled: boolean, sink: LogSink): StepResult {
    const outOfMemory = exit.outOfMemory && exit.code !== 0 ? ' (out of memory)' : '';
    if (!this.action.suppressLogOutput && exit.lost === undefined) {
      const grace = killed
        ? ` (exceeded ${durationText(this.context.gracefulShutdownMs)} graceful shutdown interval)`
        : '';
      sink.line('stdout', `Exit status ${exit.code}${grace}${outOfMemory}`);
    }
    if (killed) return { kind: 'grace-exceeded', text: 'exceeded graceful shutdown interval' };
    if (cancelled) return CANCELLED;
    if (exit.lost !== undefined) return failed(`${sink.source}: Exit status unknown: ${exit.lost}`);
    return exit.code === 0 ? undefined : failed(`${sink.source}: Exited with status ${exit.code}${outOfMemory}`);
  }
}
