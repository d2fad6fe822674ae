import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Script } from './script-testing.js';

/**
 * Transcripts: "## " begins a scenario with a new core; "> command" is run; the lines below it are what it did. They are read as
 * specifications and reviewed as differences. RIVERA_UPDATE_GOLDEN=1 writes what comes out now.
 */
const FOLDER = new URL('.', import.meta.url);
const update = process.env.RIVERA_UPDATE_GOLDEN === '1';

for (const name of readdirSync(FOLDER).filter((file) => file.endsWith('.txt'))) {
  const file = new URL(name, FOLDER);
  const [preface = '', ...scenarios] = readFileSync(file, 'utf8').split(/^(?=## )/m);
  describe(name, () => {
    const played = scenarios.map(play);
    if (update) writeFileSync(file, preface + played.join(''));
    it('has scenarios', () => expect(scenarios.length).toBeGreaterThan(0));
    for (const [i, scenario] of scenarios.entries()) {
      it(scenario.slice(3, scenario.indexOf('\n')), () => expect(played[i]).toBe(scenario));
    }
  });
}

/** Keeps titles, remarks and commands, and puts what came out below each command. */
function play(scenario: string): string {
  const script = new Script();
  const lines = scenario
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith('    '))
    .flatMap((line) => [
      line,
      ...(line.startsWith('> ') ? script.run(line.slice(2)).map((told) => `    ${told}`) : []),
    ]);
  return `${lines.join('\n')}\n\n`;
}
