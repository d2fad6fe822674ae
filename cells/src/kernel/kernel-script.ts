/** Where Debian's perl-base, which every Debian has, puts it: the supervisor wants a path. */
export const PERL = '/usr/bin/perl';

/**
 * System calls that Node.js can't make and that no tool of Debian 12 makes for it: id-mapped mounts, and a user namespace with a
 * network namespace of its own. Perl is part of every Debian and can call the kernel by number. The script is part of the launcher's,
 * which has it ready in memory and calls it in a process of its own. It only does what it is told, step by step, and decides
 * nothing; `kernel-steps.ts` is its one caller.
 *
 * Arguments are each step's name, the count of its arguments, and these. It ends with 1 at the first step that fails and says
 * which and why.
 */
export const KERNEL_SCRIPT = String.raw`
{
package Kernel;
my ($UNSHARE, $MOUNT, $UMOUNT) = @ARGV;
my ($OPEN_TREE, $MOVE_MOUNT, $MOUNT_SETATTR) = (428, 429, 442);
my ($AT_FDCWD, $AT_EMPTY_PATH, $AT_RECURSIVE) = (-100, 0x1000, 0x8000);
my ($NODEV, $NOATIME, $AUTOCLEAR, $LOOP_TRIES, $PIECE) = (4, 0x400, 4, 1000, 1 << 20);
my ($NEWUSER, $NEWNET) = (0x10000000, 0x40000000);
my $user_namespace;
my $step = 'start';
sub failed { print STDERR "$step: $_[0]: $!\n"; exit 1 }

# A detached copy of what is mounted somewhere, put somewhere else.
sub clone { my ($from, $flags) = @_; my $fd = syscall($OPEN_TREE, $AT_FDCWD, $from, 1 | $flags); $fd >= 0 or failed("open $from"); $fd }
sub place { my ($fd, $to) = @_; my $none = ''; syscall($MOVE_MOUNT, $fd, $none, $AT_FDCWD, $to, 4) == 0 or failed("mount at $to"); shut($fd) }
sub shut { my ($fd) = @_; open my $handle, '<&=', $fd or failed('close'); close $handle }
sub parents { my ($path) = @_; while ($path =~ m{(?<=.)/}g) { mkdir substr($path, 0, pos($path) - 1), 0700 } }
sub point { my ($path, $like) = @_; parents($path); if (-d $like) { -d $path or mkdir $path, 0700 or failed("make $path") } else { open my $file, '>>', $path or failed("make $path") } }

my %steps = (
  # A child makes both, and holds them until the second is mounted as a file; it may only go on when its ids are mapped.
  namespaces => sub {
    my ($host_id, $size, $net_file) = @_;
    pipe my $told, my $tell or failed('pipe'); pipe my $heard, my $let_go or failed('pipe');
    my $holder = fork // failed('fork');
    if (!$holder) {
      close $told; close $let_go;
      syscall($UNSHARE, $NEWUSER) == 0 or failed('new user namespace');
      syswrite $tell, 'u'; sysread $heard, my $mapped, 1 or exit 1;
      syscall($UNSHARE, $NEWNET) == 0 or failed('new network namespace');
      socket my $socket, 2, 2, 0 or failed('socket');
      my $up = pack 'a16 s x22', 'lo', 0x41; ioctl $socket, 0x8914, $up or failed('loopback');
      syswrite $tell, 'n'; sysread $heard, my $end, 1; exit 0;
    }
    close $tell; close $heard;
    sysread $told, my $made, 1 or exit 1;
    for my $map ('uid_map', 'gid_map') {
      open my $file, '>', "/proc/$holder/$map" or failed($map);
      defined syswrite $file, "0 $host_id $size\n" or failed($map);
      close $file;
    }
    syswrite $let_go, 'm'; sysread $told, my $networked, 1 or exit 1;
    my $from = "/proc/$holder/ns/net";
    point($net_file, $from); place(clone($from, 0), $net_file);
    close $let_go; waitpid $holder, 0;
  },
  # A network namespace knows the user namespace that it belongs to, and holds it.
  adopt => sub {
    my ($net_file, $user_file) = @_;
    open my $net, '<', $net_file or failed("open $net_file");
    my $fd = ioctl $net, 0xb701, 0 or failed("find the owner of $net_file");
    open $user_namespace, '<&=', $fd or failed('open the user namespace');
    my $from = "/proc/self/fd/$fd"; point($user_file, $from); place(clone($from, 0), $user_file);
  },
  # What is at a path, elsewhere, with owners as the namespace's root sees them.
  idmapped => sub {
    my ($from, $to, $deep, $denied) = @_; my $recursive = $deep ? $AT_RECURSIVE : 0; my $none = '';
    my $fd = clone($from, $recursive);
    my $attributes = pack 'QQQQ', 0x100000 | $denied, 0, 0, fileno $user_namespace;
    syscall($MOUNT_SETATTR, $fd, $none, $AT_EMPTY_PATH | $recursive, $attributes, 32) == 0 or failed("map the owners of $from");
    point($to, $from); place($fd, $to);
  },
  overlay => sub { my ($options, $to, $flags) = @_; my ($name, $type) = ('rivera', 'overlay'); syscall($MOUNT, $name, $to, $type, $flags + 0, $options) == 0 or failed("mount at $to") },
  detach => sub { for my $path (@_) { syscall($UMOUNT, my $copy = $path, 2) == 0 or failed("unmount $path") } },
  # Others may unmount the same at the same time.
  unmount => sub {
    for my $path (@_) {
      next if syscall($UMOUNT, my $at_once = $path, 0) == 0 || syscall($UMOUNT, my $lazily = $path, 2) == 0;
      $!{EINVAL} || $!{ENOENT} or failed("unmount $path");
    }
  },
  forget => sub {
    for my $path (@_) {
      syscall($UMOUNT, my $copy = $path, 2) == 0 or $!{EINVAL} or $!{ENOENT} or failed("unmount $path");
      unlink $path or $!{ENOENT} or failed("remove $path");
    }
  },
  directory => sub { my ($path, $mode, $owner) = @_; mkdir $path or $!{EEXIST} or failed("make $path"); chmod oct $mode, $path and chown $owner, $owner, $path or failed("own $path") },
  enter => sub { chdir $_[0] or failed($_[0]) },
  copy => sub {
    my ($from, $to) = @_; my ($at, $end) = (0, 0);
    sysopen my $in, $from, 0 or failed("open $from"); sysopen my $out, $to, 0301, 0600 or failed("make $to");
    while (defined($at = sysseek $in, $end, 3)) {
      $end = sysseek($in, $at, 4) // failed("look for holes in $from");
      sysseek $in, $at, 0; sysseek $out, $at, 0;
      for (my $left = $end - $at; $left > 0;) {
        my $got = sysread $in, my $bytes, $left < $PIECE ? $left : $PIECE; $got or failed("read $from");
        (syswrite($out, $bytes) // 0) == $got or failed("write $to");
        $left -= $got;
      }
    }
    $!{ENXIO} or failed("look for data in $from");
    truncate $out, -s $in or failed("size $to");
  },
  # Without barriers, as nothing of it is to outlive the machine: nobody inside waits for the host's disk, nor the host for theirs.
  # A free device may be another's by the time that it is asked for.
  loop => sub {
    my ($image, $to) = @_; my ($type, $options) = ('ext4', 'barrier=0');
    open my $file, '+<', $image or failed("open $image"); open my $control, '+<', '/dev/loop-control' or failed('loop devices');
    for (1 .. $LOOP_TRIES) {
      my $number = ioctl($control, 0x4c82, 0) // failed('find a loop device'); my $device = '/dev/loop' . (0 + $number);
      open my $loop, '+<', $device or failed("open $device");
      my $configuration = pack 'LL x52 L a64 x176', fileno $file, 0, $AUTOCLEAR, substr $image, 0, 63;
      if (!ioctl $loop, 0x4c0a, $configuration) { next if $!{EBUSY}; failed("set up $device") }
      return if syscall($MOUNT, $device, $to, $type, $NOATIME | $NODEV, $options) == 0;
      failed("mount $image at $to");
    }
    failed('all loop devices are busy');
  },
);
sub run {
  while (@_) {
    ($step, my $count) = splice @_, 0, 2;
    $steps{$step}->(splice @_, 0, $count);
  }
}
}
`;
