import { describe, expect, it } from 'vitest';
import { wantsColour } from './output.js';

describe('colours', () => {
  it('are for terminals', () => {
    expect(wantsColour({ isTTY: true }, {}, false)).toBe(true);
    expect(wantsColour({}, {}, false)).toBe(false);
  });

  it('stay away when the user or the terminal does not want them', () => {
    expect(wantsColour({ isTTY: true }, { NO_COLOR: '1' }, false)).toBe(false);
    expect(wantsColour({ isTTY: true }, { NO_COLOR: '' }, false)).toBe(true);
    expect(wantsColour({ isTTY: true }, { TERM: 'dumb' }, false)).toBe(false);
    expect(wantsColour({ isTTY: true }, {}, true)).toBe(false);
  });
});
