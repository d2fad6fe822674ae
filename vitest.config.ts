import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Tests run on the sources; only those in test/e2e start the built programs. */
const shared = {
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'], externalConditions: ['source'] } },
};
const server = { deps: { inline: [/@rivera\//] } };

/** What becomes true in a moment may take long on a machine that others use. */
const expecting = { poll: { timeout: 20_000 } };

/** Tests of containers and databases wait more than they work. */
const UNITS_AT_A_TIME = 3;
/** Whole platforms compete for the machine. */
const PLATFORMS_AT_A_TIME = 2;

/** Takes minutes each. Begun last, such a file would run on alone. */
const LONGEST = ['test/e2e/at-most-once.test.ts', 'test/simulation/cluster/cluster.test.ts'];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification) => LONGEST.some((path) => moduleId.endsWith(path));
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    exclude: ['**/node_modules/**', '**/dist/**'],
    projects: [
      {
        ...shared,
        test: {
          name: 'unit',
          include: ['{gen,kit,sdk,server,cells,cli}/src/**/*.test.ts', 'test/{architecture,docs,bench}/**/*.test.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
          maxWorkers: UNITS_AT_A_TIME,
          sequence: { groupOrder: 0 },
          server,
          expect: expecting,
        },
      },
      {
        ...shared,
        // What containers promise, once more by the runtime that is used where crun is not.
        test: {
          name: 'runc',
          include: [
            'cells/src/garden/oci/{oci-garden,isolation,user-namespaces,attacks,processes,cgroups/memory-shares}.test.ts',
          ],
          env: { RIVERA_TEST_RUNTIME: 'runc' },
          testTimeout: 30_000,
          hookTimeout: 60_000,
          maxWorkers: UNITS_AT_A_TIME,
          sequence: { groupOrder: 0 },
          server,
          expect: expecting,
        },
      },
      {
        ...shared,
        test: {
          name: 'e2e',
          include: ['test/{e2e,clients,simulation}/**/*.test.ts'],
          testTimeout: 90_000,
          hookTimeout: 120_000,
          maxWorkers: PLATFORMS_AT_A_TIME,
          sequence: { groupOrder: 1 },
          server,
          expect: expecting,
        },
      },
    ],
  },
});
