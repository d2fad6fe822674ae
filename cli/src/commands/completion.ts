import { Argument, type Command } from 'commander';
import { examples, type Outcome, perform } from '../command-line.js';
import { complete } from '../completion/candidates.js';
import { completionScript, SHELLS, type Shell } from '../completion/scripts.js';
import type { Io } from '../io.js';
import type { Session } from '../session.js';
import { firstNames, type Named } from './names.js';

/** `rivera completion SHELL`, and the hidden command that the scripts call. */
export function addCompletion(program: Command, io: Io, outcome: Outcome): void {
  const command = program
    .command('completion')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .description('print completion for a shell');
  examples(
    command,
    ['source <(rivera completion bash)', 'bash; in ~/.bashrc for good'],
    ['source <(rivera completion zsh)', 'zsh'],
    ['rivera completion fish | source', 'fish'],
  );
  perform(command, io, outcome, async (session, [shell]) => {
    await session.out.data(completionScript(shell as Shell));
    return undefined;
  });

  const hidden = program.command('__complete', { hidden: true }).argument('[words...]').passThroughOptions();
  perform(hidden, io, outcome, async (session, operands) => {
    const words = operands[0] === '--' ? operands.slice(1) : operands;
    const current = words.at(-1) ?? '';
    const completion = complete(program, words.slice(0, -1), current);
    switch (completion.kind) {
      case 'files':
        return undefined;
      case 'words':
        for (const { value, description } of completion.candidates) {
          if (value.startsWith(current)) await session.out.data(`${value}\t${description}\n`);
        }
        return undefined;
      case 'names':
        for (const kind of [completion.of, completion.also]) {
          if (kind !== undefined) await printNames(session, kind, current);
        }
        return undefined;
    }
  });
}

/** Completion never fails: without an answer there is nothing to offer. */
async function printNames(session: Session, kind: Named, current: string): Promise<void> {
  try {
    const names = await firstNames(await session.client(), kind);
    await session.out.data(
      names
        .filter((name) => name.startsWith(current))
        .map((name) => `${name}\t${kind}\n`)
        .join(''),
    );
  } catch {
    // No server, no certificate, no permission: the user will learn of it from the command itself.
  }
}
