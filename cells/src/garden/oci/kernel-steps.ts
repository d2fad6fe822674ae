import { runToEnd } from './command.js';
import { KERNEL_SCRIPT, PERL } from './kernel-script.js';

/** Ids of a container and those of the host that they are: container id n is `hostId + n`, for all n below `size`. */
export interface IdMapping {
  hostId: number;
  size: number;
}

/** One thing that the kernel is to do. Paths are absolute, or relative to the directory last entered. */
export type KernelStep =
  /** A network namespace, with loopback, that belongs to a user namespace of its own. */
  | { do: 'namespaces'; ids: IdMapping; netFile: string }
  /** Keeps the user namespace that a network namespace belongs to as a file, and maps owners into it from here on. */
  | { do: 'adopt'; netFile: string; userFile: string }
  /** Shows `from` at `to`, made if missing, with owners as the adopted namespace has them; `deep` with all mounts below. */
  | { do: 'idmapped'; from: string; to: string; deep: boolean }
  | { do: 'overlay'; lower: string[]; upper: string; work: string; to: string; devices: boolean }
  | { do: 'detach'; paths: string[] }
  | { do: 'directory'; path: string; mode: number; owner: number }
  | { do: 'enter'; path: string }
  | { do: 'command'; argv: string[] };

/** Calls that have another number on each kind of machine; newer ones have the same everywhere. */
const CALLS: Partial<Record<NodeJS.Architecture, { unshare: number; mount: number; umount: number }>> = {
  x64: { unshare: 272, mount: 165, umount: 166 },
  arm64: { unshare: 97, mount: 40, umount: 39 },
  riscv64: { unshare: 97, mount: 40, umount: 39 },
};
const MS_NODEV = 4;

/**
 * Does steps in order, in one process, and stops at the first that fails; what was done until then stays.
 * @throws Error that names the step and the kernel's reason
 */
export async function doKernelSteps(steps: KernelStep[]): Promise<void> {
  const calls = CALLS[process.arch];
  if (!calls) throw new Error(`the numbers of system calls are not known for ${process.arch}`);
  const numbers = [calls.unshare, calls.mount, calls.umount].map(String);
  const words = steps.flatMap((step) => {
    const args = argumentsOf(step);
    return [step.do, String(args.length), ...args];
  });
  const { code, stderr } = await runToEnd(PERL, ['-e', KERNEL_SCRIPT, ...numbers, ...words]);
  if (code !== 0) throw new Error(stderr.trim().slice(-1000) || `the kernel script ended with ${code}`);
}

function argumentsOf(step: KernelStep): string[] {
  switch (step.do) {
    case 'namespaces':
      return [String(step.ids.hostId), String(step.ids.size), step.netFile];
    case 'adopt':
      return [step.netFile, step.userFile];
    case 'idmapped':
      return [step.from, step.to, step.deep ? '1' : '0'];
    case 'overlay': {
      const options = `lowerdir=${step.lower.join(':')},upperdir=${step.upper},workdir=${step.work}`;
      return [options, step.to, String(step.devices ? 0 : MS_NODEV)];
    }
    case 'detach':
      return step.paths;
    case 'directory':
      return [step.path, step.mode.toString(8), String(step.owner)];
    case 'enter':
      return [step.path];
    case 'command':
      return step.argv;
  }
}
