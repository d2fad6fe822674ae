import { type OciGardenOptions, settle } from '@rivera/cells/garden/oci/options';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { runHere } from '../testing/terminal.js';
import { isUsableDataFolder } from './data-folder.js';

const FOLDERS = ['/srv/rivera', '/home/a_b/.rivera-2', '/srv/my data', '/home/jörg/.rivera', '/srv/a,b', '/srv/a:b'];

/** Whether the garden would take it. */
function isTaken(dataDir: string): boolean {
  const options = { cellId: 'cell-1', dataDir, rootFsDir: '/srv/rootfs', subnet: '10.0.0.0/24', bridge: 'b' };
  try {
    settle({ ...options, hostAddress: '127.0.0.1', portRange: { first: 61_001, last: 62_000 } } as OciGardenOptions);
    return true;
  } catch {
    return false;
  }
}

describe('a data folder', () => {
  it.each(FOLDERS)('is refused when the garden would refuse it, and only then: %s', (dataDir) => {
    expect(isUsableDataFolder(dataDir)).toBe(isTaken(dataDir));
  });

  it('is refused before anything is started, with the rule', async () => {
    const { exitCode, stderr } = await runHere(['up', '--data', '/nonexistent/my data']);
    expect(exitCode).toBe(EXIT.usage);
    expect(stderr).toMatch(/'\/nonexistent\/my data' can't be used: its path has to be of letters .* no blanks/);
  });
});
