/**
 * Perl that opens `/dev/null` so that nothing of it can be changed: by a read-only mount of its own. Runtimes give their standard files
 * to the user of the process that they start, crun the machine's `/dev/null` too, and with it a container could take it from everybody.
 * Before Linux 5.12, which has no such mounts, it is opened as it is; then a runtime that does so fails its self-test.
 */
export const OPEN_NULL = String.raw`
sub open_null {
  my ($path, $none) = ('/dev/null', '');
  my $fd = syscall(428, -100, $path, 1 | 0x80000);
  if ($fd >= 0) {
    my $read_only = pack 'QQQQ', 1, 0, 0, 0;
    $path = "/proc/self/fd/$fd" if syscall(442, $fd, $none, 0x1000, $read_only, 32) == 0;
  }
  open my $null, '+<', $path or die "$path: $!\n";
  return $null;
}
`;

/**
 * Perl that sets up the standard files of a process, and goes on as the runtime that is to start it. The first argument is an id that
 * pipes are given to, or empty: a user of a container can open `/dev/stdout` only when the pipe belongs to somebody in its user namespace.
 */
export const STANDARD_FILES_SCRIPT = String.raw`
my $id = shift;
for (*STDIN, *STDOUT, *STDERR) {
  chown $id, $id, $_ if $id ne '' && -p $_;
  if (-c $_ && (stat _)[6] == 0x103) { my $null = open_null(); open $_, '+<&', $null or die "/dev/null: $!\n" }
}
exec { $ARGV[0] } @ARGV; die "$ARGV[0]: $!\n";
${OPEN_NULL}`;
