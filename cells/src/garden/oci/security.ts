import { readFileSync } from 'node:fs';

/** What root in a container may do; other users have none of it (spec cell §46). */
const ORDINARY_CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
];

/** All capabilities by their number in the kernel. */
const ALL_CAPABILITIES = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST ' +
  'NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE ' +
  'SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM ' +
  'BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
)
  .split(' ')
  .map((name) => `CAP_${name}`);

/** Capabilities that this program could give away. The runtime refuses a container that asks for any other. */
const bounding: ReadonlySet<string> = (() => {
  const mask = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`);
  return new Set(ALL_CAPABILITIES.filter((_, bit) => (mask >> BigInt(bit)) & 1n));
})();

/** Capability sets of a process, as the OCI process specification has them. */
export function capabilities(o: { privileged: boolean; root: boolean }): Record<string, string[]> {
  const granted = (o.privileged ? ALL_CAPABILITIES : ORDINARY_CAPABILITIES).filter((name) => bounding.has(name));
  const own = o.root ? granted : [];
  return { bounding: granted, effective: own, permitted: own, inheritable: [], ambient: [] };
}

/** Files of the kernel that tell too much. */
export const MASKED_PATHS = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
  '/sys/fs/selinux',
];

/** Files of the kernel that change too much. */
export const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** System calls that no application needs and that have opened kernels before. */
const DENIED_CALLS = [
  // What of these isn't there yet on some machine is passed over by the runtime.
  ['fanotify_init', 'kcmp', 'listmount', 'open_tree_attr', 'pidfd_getfd', 'statmount'],
  [
    'acct',
    'add_key',
    'bpf',
    'clock_adjtime',
    'clock_settime',
    'create_module',
    'delete_module',
    'finit_module',
    'fsconfig',
  ],
  [
    'fsmount',
    'fsopen',
    'fspick',
    'get_kernel_syms',
    'init_module',
    'io_uring_enter',
    'io_uring_register',
    'io_uring_setup',
  ],
  ['ioperm', 'iopl', 'kexec_file_load', 'kexec_load', 'keyctl', 'lookup_dcookie', 'mbind', 'migrate_pages', 'mount'],
  ['mount_setattr', 'move_mount', 'move_pages', 'name_to_handle_at', 'nfsservctl', 'open_by_handle_at', 'open_tree'],
  ['perf_event_open', 'pivot_root', 'query_module', 'quotactl'],
  [
    'quotactl_fd',
    'reboot',
    'request_key',
    'set_mempolicy',
    'setdomainname',
    'sethostname',
    'setns',
    'settimeofday',
    'swapoff',
  ],
  [
    'swapon',
    'sysfs',
    'syslog',
    'umount',
    'umount2',
    'unshare',
    'uselib',
    'userfaultfd',
    'ustat',
    'vhangup',
    'vm86',
    'vm86old',
  ],
].flat();

/**
 * Families of sockets that no network namespace holds back: AF_ALG opens the kernel's cryptography, AF_VSOCK leads to the
 * hypervisor and its other guests.
 */
const DENIED_FAMILIES = [38, 40];

const EPERM = 1;
const ENOSYS = 38;
/** CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}: clone may make processes and threads, not namespaces. */
const NAMESPACE_FLAGS = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000];

/** The filter of unprivileged containers: everything but what is known to be dangerous. */
export const SECCOMP = {
  defaultAction: 'SCMP_ACT_ALLOW',
  architectures:
    process.arch === 'arm64'
      ? ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']
      : ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  syscalls: [
    { names: DENIED_CALLS, action: 'SCMP_ACT_ERRNO', errnoRet: EPERM },
    ...DENIED_FAMILIES.map((family) => ({
      names: ['socket'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: EPERM,
      args: [{ index: 0, value: family, op: 'SCMP_CMP_EQ' }],
    })),
    // Its flags are behind a pointer that a filter can't follow; C libraries fall back to clone on ENOSYS.
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
    ...NAMESPACE_FLAGS.map((flag) => ({
      names: ['clone'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: EPERM,
      args: [{ index: 0, value: flag, valueTwo: flag, op: 'SCMP_CMP_MASKED_EQ' }],
    })),
  ],
};
