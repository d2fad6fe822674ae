/** Numbers of system calls. */
export interface KernelCalls {
  unshare: number;
  mount: number;
  umount: number;
}

/** Calls that have another number on each kind of machine; newer ones have the same everywhere. */
const CALLS: Partial<Record<NodeJS.Architecture, KernelCalls>> = {
  x64: { unshare: 272, mount: 165, umount: 166 },
  arm64: { unshare: 97, mount: 40, umount: 39 },
  riscv64: { unshare: 97, mount: 40, umount: 39 },
};

/** Numbers of the calls that the scripts make, in the order in which they expect them. @throws Error on a kind of machine that nobody has tried */
export function kernelCalls(): string[] {
  const calls = CALLS[process.arch];
  if (!calls) throw new Error(`the numbers of system calls are not known for ${process.arch}`);
  return [calls.unshare, calls.mount, calls.umount].map(String);
}
