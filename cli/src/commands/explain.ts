import { ActualLrp } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { Cell } from '@rivera/gen/rivera/bbs/v1/cell';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { Task } from '@rivera/gen/rivera/bbs/v1/task';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import type { LrpFacts, Story, TaskFacts } from '../explain/facts.js';
import { gatherLrp, gatherTask } from '../explain/gather.js';
import { tellLrp } from '../explain/lrp-story.js';
import { tellTask } from '../explain/task-story.js';
import { CliError, EXIT } from '../failures.js';
import type { Io } from '../io.js';
import { parseSlots } from '../recipe/quantities.js';
import type { Session } from '../session.js';
import { nearest } from '../terminal/text.js';
import { firstNames } from './names.js';

/** `rivera explain`: how something came to be as it is, and what follows, in plain words. */
export function addExplain(program: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    program
      .command('explain')
      .argument('<name[/index]>', 'of an LRP, an instance or a task')
      .description('why something is as it is, and what happens next'),
  );
  examples(
    command,
    ['rivera explain hello', 'an LRP with its instances, those in trouble first'],
    ['rivera explain hello/1', 'one instance'],
    ['rivera explain nightly --json', 'a task; all facts, and the story, as one document'],
  );
  perform(command, io, outcome, async (session, [name = '']) => {
    const slots = parseSlots(name);
    const asking = { client: await session.client(), signal: session.signal };
    const lrp = await gatherLrp(asking, slots);
    const task = slots.index === undefined ? await gatherTask(asking, name) : undefined;
    if (lrp === undefined && task === undefined) throw await nothingThere(session, name, slots.processGuid);
    const now = io.now();
    const told = {
      ...(lrp && { lrp: { facts: lrpDocument(lrp), story: tellLrp(lrp, now) } }),
      ...(task && { task: { facts: taskDocument(task), story: tellTask(task, now) } }),
    };
    if (session.out.json) await session.out.line(told);
    else {
      const stories = [told.lrp, told.task].flatMap((part) => (part === undefined ? [] : [render(part.story)]));
      await session.out.data(stories.join('\n'));
    }
    return undefined;
  });
}

function render({ lines, next }: Story): string {
  const width = Math.max(...next.map(({ command }) => command.length));
  const steps = next.map(({ command, meaning }) => `  ${command.padEnd(width)}   ${meaning}`);
  return [...lines, '', 'Next:', ...steps].map((line) => `${line}\n`).join('');
}

function lrpDocument({ desired, instances, cells, domainIsFresh }: LrpFacts): object {
  return {
    desiredLrp: desired && DesiredLrp.toJSON(desired),
    actualLrps: instances.map((lrp) => ActualLrp.toJSON(lrp)),
    cells: [...cells.values()].map((cell) => Cell.toJSON(cell)),
    domainIsFresh,
  };
}

function taskDocument({ task, cell }: TaskFacts): object {
  return { task: Task.toJSON(task), cell: cell && Cell.toJSON(cell) };
}

async function nothingThere(session: Session, name: string, processGuid: string): Promise<CliError> {
  const client = await session.client();
  const names: string[] = [];
  for (const kind of ['lrp', 'task'] as const) names.push(...(await firstNames(client, kind).catch(() => [])));
  const isThere = names.includes(processGuid);
  const meant = isThere ? undefined : nearest(name, names);
  return new CliError(
    EXIT.answered,
    isThere ? `${processGuid} has no instance ${name}` : `there is no LRP and no task "${name}"`,
    isThere
      ? [`See which instances there are:  rivera lrp show ${processGuid}`]
      : [
          ...(meant === undefined ? [] : [`Did you mean '${meant}'?`]),
          'See what there is:  rivera lrp list, rivera task list',
        ],
  );
}
