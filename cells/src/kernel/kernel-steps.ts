import { agentMark } from './agent-mark.js';
import { launch } from './launcher.js';

/** Ids of a container and those of the host that they are: container id n is `hostId + n`, for all n below `size`. */
export interface IdMapping {
  hostId: number;
  size: number;
}

/** What can't be done by way of a mount, whatever whoever mounts it elsewhere asks for. */
export type Denial = 'write' | 'suid' | 'devices';
const DENIALS: Record<Denial, number> = { write: 1, suid: 2, devices: 4 };

/** One thing that the kernel is to do. Paths are absolute, or relative to the directory last entered. */
export type KernelStep =
  /** A network namespace, with loopback, that belongs to a user namespace of its own. */
  | { do: 'namespaces'; ids: IdMapping; netFile: string }
  /** Keeps the user namespace that a network namespace belongs to as a file, and maps owners into it from here on. */
  | { do: 'adopt'; netFile: string; userFile: string }
  /** Shows `from` at `to`, made if missing, with owners as the adopted namespace has them; `deep` with all mounts below, `not` as told. */
  | { do: 'idmapped'; from: string; to: string; deep: boolean; not?: readonly Denial[] }
  | { do: 'overlay'; lower: string[]; upper: string; work: string; to: string; devices: boolean }
  | { do: 'detach'; paths: string[] }
  /** Takes mounts away, those still in use lazily. One that is gone already is fine. */
  | { do: 'unmount'; paths: string[] }
  /** Takes namespaces away that are kept as files: the mounts, lazily, and the files. Those that are gone already are fine. */
  | { do: 'forget'; files: string[] }
  | { do: 'directory'; path: string; mode: number; owner: number }
  | { do: 'enter'; path: string }
  /** A new file with what is in another; where that has holes, it has them too. */
  | { do: 'copy'; from: string; to: string }
  /** Mounts the ext4 filesystem in a file. The loop device for it goes with the mount, or with this script when there is none. */
  | { do: 'loop'; image: string; to: string };

const MS_NODEV = 4;
/** They take milliseconds. */
const TIMEOUT_MS = 60_000;

/**
 * Does steps in order, in one process, and stops at the first that fails; what was done until then stays.
 * @throws Error that names the step and the kernel's reason
 */
export async function doKernelSteps(steps: KernelStep[]): Promise<void> {
  const words = steps.flatMap((step) => {
    const args = argumentsOf(step);
    return [step.do, String(args.length), ...args];
  });
  const env = { ...process.env, ...agentMark };
  const request = { argv: words, kernelSteps: true, env: agentMark, discardOutput: false, timeoutMs: TIMEOUT_MS };
  const { code, signal, stderr } = await launch(request, env);
  if (code !== 0) throw new Error(stderr.trim().slice(-1000) || `the kernel script ended with ${code ?? signal}`);
}

function argumentsOf(step: KernelStep): string[] {
  switch (step.do) {
    case 'namespaces':
      return [String(step.ids.hostId), String(step.ids.size), step.netFile];
    case 'adopt':
      return [step.netFile, step.userFile];
    case 'idmapped':
      return [
        step.from,
        step.to,
        step.deep ? '1' : '0',
        String((step.not ?? []).reduce((all, each) => all | DENIALS[each], 0)),
      ];
    case 'overlay': {
      const options = `lowerdir=${step.lower.join(':')},upperdir=${step.upper},workdir=${step.work}`;
      return [options, step.to, String(step.devices ? 0 : MS_NODEV)];
    }
    case 'detach':
    case 'unmount':
      return step.paths;
    case 'forget':
      return step.files;
    case 'directory':
      return [step.path, step.mode.toString(8), String(step.owner)];
    case 'enter':
      return [step.path];
    case 'copy':
      return [step.from, step.to];
    case 'loop':
      return [step.image, step.to];
  }
}
