import { KERNEL_SCRIPT } from './kernel-script.js';
import { OPEN_NULL } from './standard-files.js';

/**
 * Starts programs for an agent that is too big to do it itself. Requests come on standard input, answers go to standard output; both
 * are frames of a length and fields, which have a length each. The end of the input is the end of the script; what it has started
 * goes on. Each request has a process of its own here, so none waits for another; a byte in a pipe says whose turn it is to answer.
 */
export const LAUNCHER_SCRIPT = String.raw`
use strict; use warnings; no warnings 'exec'; use POSIX (); use IO::Handle;
$SIG{CHLD} = 'IGNORE'; $SIG{PIPE} = 'IGNORE'; $SIG{INT} = 'IGNORE';
my ($UNSHARE, $MOUNT, $UMOUNT) = @ARGV;
my $LIMIT = 4 * 1024 * 1024;
pipe my $turn, my $pass or die; syswrite $pass, '.';
my $null = open_null();

${OPEN_NULL}
${KERNEL_SCRIPT}
sub take {
  my ($count) = @_; my $bytes = '';
  while (length $bytes < $count) {
    my $got = sysread STDIN, $bytes, $count - length $bytes, length $bytes;
    next if !defined $got && $!{EINTR};
    exit 0 if !$got;
  }
  return $bytes;
}

sub answer {
  my $fields = pack '(N/a*)*', @_; my $frame = pack 'N/a*', $fields; my $token = '';
  1 until sysread $turn, $token, 1;
  for (my $at = 0; $at < length $frame;) {
    my $wrote = syswrite STDOUT, $frame, length($frame) - $at, $at;
    next if !defined $wrote && $!{EINTR};
    last if !defined $wrote;
    $at += $wrote;
  }
  syswrite $pass, '.';
}

# Seconds, to a hundredth, of a clock that only goes on.
my $TICKS = POSIX::sysconf(POSIX::_SC_CLK_TCK());
sub now { (POSIX::times())[0] / $TICKS }

# Until the program has ended and its pipes are closed. When its time is over all of its group is killed; what left the group may
# hold the pipes for ever.
sub attend {
  my ($pid, $woken, $in, $out, $err, $input, $deadline) = @_;
  my %text = (out => '', err => ''); my %from = $out ? (out => $out, err => $err) : ();
  my ($at, $killed, $status) = (0, 0, undef);
  while (!defined $status || %from || $in) {
    my $left = $deadline - now();
    if ($left <= 0 && !$killed) {
      kill 'KILL', -$pid; kill 'KILL', $pid;
      $killed = 1; %from = (); undef $in;
    }
    my ($read, $write) = ('', '');
    vec($read, fileno $_, 1) = 1 for $woken, values %from;
    vec($write, fileno $in, 1) = 1 if $in;
    # Not for long: a signal that comes just before this is noticed after it.
    my $ready = select($read, $write, undef, $killed || $left > 0.02 ? 0.02 : $left);
    if (!defined $status && waitpid($pid, POSIX::WNOHANG()) == $pid) { $status = $? }
    next if $ready <= 0;
    sysread $woken, my $nothing, 512 if vec $read, fileno $woken, 1;
    for my $name (keys %from) {
      next if !vec $read, fileno $from{$name}, 1;
      my $got = sysread $from{$name}, my $some, 65536;
      next if !defined $got && $!{EINTR};
      if (!$got) { delete $from{$name}; next }
      $text{$name} .= $some if length $text{$name} < $LIMIT;
    }
    if ($in && vec $write, fileno $in, 1) {
      my $wrote = syswrite $in, $input, length($input) - $at, $at;
      next if !defined $wrote && ($!{EINTR} || $!{EAGAIN});
      $at += $wrote // 0;
      if (!defined $wrote || $at >= length $input) { close $in; undef $in }
    }
  }
  return ($status, @text{'out', 'err'});
}

# In a copy of the mounts, which hears of those that are taken away where these are shared.
sub hide {
  return if !@_;
  my ($none, $root) = ('', '/');
  syscall($UNSHARE, 0x20000) == 0 or die "copy the mounts: $!\n";
  syscall($MOUNT, $none, $root, $none, 0x84000, $none) == 0 or die "let go of the mounts: $!\n";
  for my $path (@_) { syscall($UMOUNT, my $copy = $path, 2) == 0 or die "hide $path: $!\n" }
}

sub become {
  my ($cwd, $report, $hidden, $argv, $env) = @_;
  if ($report ne '') {
    sysopen my $file, $report, POSIX::O_WRONLY() | POSIX::O_CREAT() | POSIX::O_TRUNC(), 0600 or die "$report: $!\n";
    POSIX::dup2(fileno $file, 3);
  }
  hide(split /\n/, $hidden);
  $cwd eq '' or chdir $cwd or die "$cwd: $!\n";
  %ENV = map { split /=/, $_, 2 } @$env;
  exec { $argv->[0] } @$argv or die "$argv->[0]: $!\n";
}

sub serve {
  my ($id, $ms, $steps, $quiet, $cwd, $report, $hidden, $piped, $input, $count, @rest) = @_;
  my @argv = splice @rest, 0, $count;
  my $deadline = now() + $ms / 1000;
  my ($in_read, $in, $out, $out_write, $err, $err_write);
  pipe my $woken, my $wake or die; $wake->blocking(0);
  pipe $in_read, $in or die if $piped;
  if (!$quiet) { pipe $out, $out_write or die; pipe $err, $err_write or die }
  $SIG{CHLD} = sub { syswrite $wake, '.' };
  my $pid = fork // die "fork: $!\n";
  if (!$pid) {
    # A group of its own, so that all of it can be ended.
    POSIX::setsid();
    open STDIN, '<&', $in_read or die if $piped; open STDIN, '<&', $null or die if !$piped;
    if ($quiet) { open STDOUT, '>&', $null or die; open STDERR, '>&', $null or die }
    else { open STDOUT, '>&', $out_write or die; open STDERR, '>&', $err_write or die }
    $SIG{CHLD} = $SIG{PIPE} = $SIG{INT} = 'DEFAULT';
    eval { $steps ? Kernel::run(@argv) : become($cwd, $report, $hidden, \@argv, \@rest); POSIX::_exit(0) };
    print STDERR $@; POSIX::_exit(127);
  }
  undef $_ for $in_read, $out_write, $err_write;
  $in->blocking(0) if $in;
  my ($status, $stdout, $stderr) = attend($pid, $woken, $in, $out, $err, $input, $deadline);
  answer($id, $status & 127 ? -($status & 127) : $status >> 8, $stdout, $stderr);
}

while (1) {
  my @request = unpack '(N/a*)*', take(unpack 'N', take(4));
  my $pid = fork;
  next if $pid;
  if (!defined $pid) { answer($request[0], 126, '', "fork: $!"); next }
  eval { serve(@request) };
  answer($request[0], 126, '', $@) if $@;
  POSIX::_exit(0);
}
`;
