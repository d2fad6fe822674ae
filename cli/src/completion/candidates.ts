import type { Command, Option } from 'commander';
import type { Named } from '../commands/names.js';

/** Something that could be typed next. */
export interface Candidate {
  value: string;
  description: string;
}

/** What comes next: words that are known here, or names that only the servers know, or files, which the shell knows best. */
export type Completion =
  | { kind: 'words'; candidates: Candidate[] }
  | { kind: 'names'; of: Named; also?: Named }
  | { kind: 'files' };

/** Options whose value is a name. */
const NAMED_OPTIONS: Readonly<Record<string, Named>> = { domain: 'domain', cell: 'cell', process: 'lrp' };

/** Commands whose operands are names. */
const NAMED_OPERANDS: Readonly<Record<string, { of: Named; also?: Named }>> = {
  'task show': { of: 'task' },
  'task cancel': { of: 'task' },
  'task retry-callback': { of: 'task' },
  'task rm': { of: 'task' },
  'lrp show': { of: 'lrp' },
  'lrp scale': { of: 'lrp' },
  'lrp restart': { of: 'lrp' },
  'lrp reset': { of: 'lrp' },
  'lrp rm': { of: 'lrp' },
  'cells show': { of: 'cell' },
  'cells evacuate': { of: 'cell' },
  'cells declare-missing': { of: 'cell' },
  'domains set': { of: 'domain' },
  logs: { of: 'lrp', also: 'task' },
  exec: { of: 'lrp' },
  ssh: { of: 'lrp' },
  'ssh-code': { of: 'lrp' },
  'ssh-config': { of: 'lrp' },
  explain: { of: 'lrp', also: 'task' },
};

/**
 * What could be typed next.
 * @param words those before the cursor, without the program
 * @param current the one that is being typed, perhaps empty
 */
export function complete(root: Command, words: readonly string[], current: string): Completion {
  const place = walk(root, words);
  if (place.behindSeparator) return { kind: 'files' };
  if (place.pending !== undefined) return valuesOf(place.pending);
  if (current.startsWith('-')) return { kind: 'words', candidates: optionsOf(place.command) };
  const commands = place.operands === 0 ? subcommandsOf(place.command) : [];
  if (commands.length > 0) return { kind: 'words', candidates: commands };
  const names = NAMED_OPERANDS[place.path.join(' ')];
  const takesMore = place.operands === 0 || (place.command.registeredArguments[0]?.variadic ?? false);
  if (names !== undefined && takesMore) return { kind: 'names', ...names };
  const choices = place.command.registeredArguments[place.operands]?.argChoices;
  if (choices) return { kind: 'words', candidates: choices.map((value) => ({ value, description: '' })) };
  return { kind: 'files' };
}

interface Place {
  command: Command;
  path: string[];
  /** Operands of that command before the cursor. */
  operands: number;
  /** The option that waits for its value. */
  pending: Option | undefined;
  behindSeparator: boolean;
}

function walk(root: Command, words: readonly string[]): Place {
  const place: Place = { command: root, path: [], operands: 0, pending: undefined, behindSeparator: false };
  for (const word of words) {
    if (place.pending !== undefined) {
      place.pending = undefined;
    } else if (word === '--') {
      place.behindSeparator = true;
      return place;
    } else if (word.startsWith('-')) {
      const option = place.command.options.find((known) => known.short === word || known.long === word);
      if (option?.required) place.pending = option;
    } else {
      const next = place.operands === 0 ? findCommand(place.command, word) : undefined;
      if (next === undefined) place.operands++;
      else {
        place.command = next;
        place.path.push(next.name());
      }
    }
  }
  return place;
}

function findCommand(command: Command, word: string): Command | undefined {
  return command.commands.find((known) => known.name() === word || known.aliases().includes(word));
}

function valuesOf(option: Option): Completion {
  if (option.argChoices)
    return { kind: 'words', candidates: option.argChoices.map((value) => ({ value, description: '' })) };
  const of = NAMED_OPTIONS[option.attributeName()];
  return of === undefined ? { kind: 'files' } : { kind: 'names', of };
}

function optionsOf(command: Command): Candidate[] {
  const help = command.createHelp();
  return help
    .visibleOptions(command)
    .flatMap((option) => (option.long ? [{ value: option.long, description: option.description }] : []));
}

function subcommandsOf(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .map((known) => ({ value: known.name(), description: known.description() }));
}
