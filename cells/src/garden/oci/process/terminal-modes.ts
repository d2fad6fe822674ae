import { BUSYBOX } from '../bundle.js';

/** Names of RFC 4254 section 8 whose value is a character → stty's words. */
const CHARACTERS: Readonly<Record<string, string>> = {
  VINTR: 'intr',
  VQUIT: 'quit',
  VERASE: 'erase',
  VKILL: 'kill',
  VEOF: 'eof',
  VEOL: 'eol',
  VEOL2: 'eol2',
  VSTART: 'start',
  VSTOP: 'stop',
  VSUSP: 'susp',
  VREPRINT: 'rprnt',
  VWERASE: 'werase',
  VLNEXT: 'lnext',
};

/** Names whose value is on or off; stty has them in small letters. */
const SWITCHES: ReadonlySet<string> = new Set(
  (
    'IGNPAR PARMRK INPCK ISTRIP INLCR IGNCR ICRNL IUCLC IXON IXANY IXOFF IMAXBEL IUTF8 ISIG ICANON XCASE ECHO ECHOE ECHOK ' +
    'ECHONL NOFLSH TOSTOP IEXTEN ECHOCTL ECHOKE OPOST OLCUC ONLCR ONOCR ONLRET OCRNL'
  ).split(' '),
);

/** A value that switches a character off. */
const UNDEFINED_CHARACTER = 255;

/** Modes of a terminal in the words of stty; names and values that it does not have are left out. */
export function sttyWords(modes: Readonly<Record<string, number>>): string[] {
  const words: string[] = [];
  for (const [name, value] of Object.entries(modes)) {
    const character = CHARACTERS[name];
    if (character !== undefined) words.push(character, characterWord(value));
    else if (SWITCHES.has(name)) words.push(value === 0 ? `-${name.toLowerCase()}` : name.toLowerCase());
  }
  return words;
}

/** Numbers below ten would be taken for the digit itself, so control characters are written with a caret. */
function characterWord(value: number): string {
  if (value === 0 || value >= UNDEFINED_CHARACTER) return 'undef';
  if (value < 32) return `^${String.fromCharCode(value + 64)}`;
  return value === 127 ? '^?' : String(value).padStart(3, '0');
}

/**
 * The program, begun by one that sets the terminal first: its modes can only be set from inside, where it is. The runtime switches
 * `onlcr` off there, as it expects the terminal around it to add carriage returns; ours doesn't, since it can't know when a program
 * on the full screen wants none.
 */
export function withTerminalModes(
  path: string,
  args: string[],
  terminal: (TerminalSize & { modes?: Readonly<Record<string, number>> }) | undefined,
): [path: string, args: string[]] {
  if (!terminal) return [path, args];
  return begunBy(['onlcr', ...sizeWords(terminal), ...sttyWords(terminal.modes ?? {})], path, args);
}

/** The program, begun by one that gives its terminal the size: crun starts it on one that has none yet. */
export function withTerminalSize(path: string, args: string[], size: TerminalSize): [path: string, args: string[]] {
  return begunBy(sizeWords(size), path, args);
}

interface TerminalSize {
  columns: number;
  rows: number;
}

function sizeWords({ columns, rows }: TerminalSize): string[] {
  return ['rows', String(rows), 'cols', String(columns)];
}

function begunBy(words: string[], path: string, args: string[]): [path: string, args: string[]] {
  const script = `n=$1; shift; ${BUSYBOX} stty $n 2>/dev/null; exec "$@"`;
  return [BUSYBOX, ['sh', '-c', script, 'terminal', words.join(' '), path, ...args]];
}

/** A command on a terminal that passes on bytes as they are. */
export function onPlainTerminal(command: string, args: string[]): [command: string, args: string[]] {
  return ['/bin/sh', ['-c', 'stty -onlcr; exec "$@"', 'terminal', command, ...args]];
}
