import { PERL } from '../../../kernel/kernel-script.js';

/** Numbers of `recvmsg`, which Perl can't call by name. */
const RECVMSG: Partial<Record<NodeJS.Architecture, number>> = { x64: 47, arm64: 212, riscv64: 212 };

/**
 * Stands between a terminal of the machine, its standard files, and the one that a runtime makes inside a container and hands over by a
 * socket: passes bytes on as they are, the size too, and ends as the runtime does once all output is through. crun's own passing
 * on loses the end of what a process says, and knows no sizes.
 *
 * Neither direction waits for the other: a process that doesn't read is still heard, and one that nobody hears can be interrupted.
 * What one side has not taken yet is bounded, as no more is read for it meanwhile.
 *
 * Arguments: the number of recvmsg, the socket's path, and the runtime's command, which ends up with the path as its
 * `--console-socket`.
 */
const RELAY_SCRIPT = String.raw`
use strict; use warnings;
my ($RECVMSG, $path, $program, @args) = @ARGV;
my ($AF_UNIX, $STREAM, $NOHANG, $SETFL, $RDWR_NONBLOCK, $GETSIZE, $SETSIZE) = (1, 1, 1, 4, 04002, 0x5413, 0x5414);
my ($PIECE, $QUIET) = (65536, 0.1);
sub failed { print STDERR "terminal: $_[0]: $!\n"; exit 1 }

# Named from the folder it is in, as addresses of sockets are short.
my ($folder, $name) = $path =~ m{^(.*)/([^/]+)$};
chdir $folder or failed($folder);
socket my $listener, $AF_UNIX, $STREAM, 0 or failed('socket');
bind $listener, pack 'S a108', $AF_UNIX, $name or failed("bind $name");
listen $listener, 1 or failed('listen');
my $runtime = fork // failed('fork');
if (!$runtime) { close $listener; exec { $program } $program, map { $_ eq $path ? "/proc/" . getppid . "/cwd/$name" : $_ } @args or failed($program) }

my ($status, $call);
sub over { $status = $? if !defined $status && waitpid($runtime, $NOHANG) == $runtime; defined $status }
sub leave { exit($status & 127 ? 128 + ($status & 127) : $status >> 8) }
sub bit { my ($fd) = @_; my $bits = ''; vec($bits, $fd, 1) = 1; $bits }

until ($call) {
  my $called = select my $asked = bit(fileno $listener), undef, undef, 0.02;
  if ($called > 0) { accept $call, $listener or failed('accept') } elsif (over()) { unlink $name; leave() }
}
unlink $name;
my ($text, $control) = ("\0" x 4096, "\0" x 64);
my $piece = pack 'P Q', $text, length $text;
my $message = pack 'Q Q P Q P Q Q', 0, 0, $piece, 1, $control, length $control, 0;
syscall($RECVMSG, fileno $call, $message, 0) > 0 or failed('no terminal came');
my (undef, undef, $type, $fd) = unpack 'Q l l l', $control;
$type == 1 or failed('no terminal came');
open my $inner, '+<&=', $fd or failed('open the terminal');
close $call; close $listener;
fcntl $_, $SETFL, $RDWR_NONBLOCK or failed('do not wait') for $inner, *STDIN;

my $resized = 1;
$SIG{WINCH} = sub { $resized = 1 };
# What was read and not yet taken: of the terminal outside, and of the one inside.
my ($typed, $said, $hears, $speaks) = ('', '', 1, 1);
while ($speaks || $said ne '') {
  if ($resized) { $resized = 0; my $size = "\0" x 8; ioctl STDIN, $GETSIZE, $size and ioctl $inner, $SETSIZE, $size }
  my $over = over();
  my ($read, $write) = ('', '');
  vec($read, 0, 1) = 1 if $hears && $typed eq '' && !$over;
  vec($read, $fd, 1) = 1 if $speaks && $said eq '';
  vec($write, $fd, 1) = 1 if $typed ne '' && !$over;
  vec($write, 1, 1) = 1 if $said ne '';
  my $ready = select $read, $write, undef, $over ? $QUIET : 0.5;
  next if $ready < 0;
  # The runtime has ended and all is said, though somebody who was left inside still holds the terminal.
  last if $ready == 0 && $over && $said eq '';
  if (vec $read, $fd, 1) {
    my $got = sysread $inner, $said, $PIECE;
    $speaks = 0 if defined $got ? $got == 0 : !($!{EINTR} || $!{EAGAIN});
  }
  if (vec $write, 1, 1) {
    my $took = syswrite STDOUT, $said;
    if (defined $took) { substr $said, 0, $took, '' } elsif (!$!{EINTR} && !$!{EAGAIN}) { last }
  }
  if (vec $read, 0, 1) {
    my $got = sysread STDIN, $typed, $PIECE;
    $hears = 0 if defined $got ? $got == 0 : !($!{EINTR} || $!{EAGAIN});
  }
  if (vec $write, $fd, 1) {
    my $took = syswrite $inner, $typed;
    if (defined $took) { substr $typed, 0, $took, '' } elsif (!$!{EINTR} && !$!{EAGAIN}) { $typed = '' }
  }
}
close $inner;
select undef, undef, undef, 0.02 until over();
leave();
`;

/** A command of a runtime that gives away the terminal it makes, so that it is passed on to this one, as bytes as they are. */
export function onRelayedTerminal(command: string, args: string[], socket: string): [command: string, args: string[]] {
  const recvmsg = RECVMSG[process.arch];
  if (recvmsg === undefined) throw new Error(`the number of recvmsg is not known for ${process.arch}`);
  const relay = [PERL, '-e', RELAY_SCRIPT, String(recvmsg), socket, command, ...args];
  return ['/bin/sh', ['-c', 'stty raw -echo; exec "$@"', 'terminal', ...relay]];
}
