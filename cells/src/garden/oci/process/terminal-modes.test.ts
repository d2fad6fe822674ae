import { describe, expect, it } from 'vitest';
import { sttyWords, withTerminalModes } from './terminal-modes.js';

describe('terminal modes', () => {
  it('become words of stty, characters with a caret, switches with a minus; what is not known is left out', () => {
    const modes = {
      VINTR: 3,
      VERASE: 127,
      VEOL: 255,
      VSUSP: 0,
      VKILL: 64,
      ECHO: 0,
      ICRNL: 1,
      TTY_OP_ISPEED: 38_400,
      NONSENSE: 1,
    };
    expect(sttyWords(modes).join(' ')).toBe('intr ^C erase ^? eol undef susp undef kill 064 -echo icrnl');
  });

  it('are set before the program begins, and only where there is a terminal', () => {
    expect(withTerminalModes('/bin/sh', ['-l'], undefined)).toEqual(['/bin/sh', ['-l']]);
    const [, args] = withTerminalModes('/bin/sh', ['-l'], { columns: 80, rows: 24, modes: { ECHO: 0 } });
    expect(args.slice(3)).toEqual(['terminal', 'onlcr rows 24 cols 80 -echo', '/bin/sh', '-l']);
  });
});
