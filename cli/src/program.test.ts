import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { EXIT } from './failures.js';
import { buildProgram } from './program.js';
import { ioOf, runHere } from './testing/terminal.js';

describe('the command line', () => {
  it('prints its version', async () => {
    expect(await runHere(['--version'])).toMatchObject({ exitCode: EXIT.ok, stdout: 'rivera 0.1.0\n', stderr: '' });
    expect((await runHere(['version'])).stdout).toMatch(/^rivera 0\.1\.0 \(Node\.js v\d+/);
    expect(JSON.parse((await runHere(['version', '--json'])).stdout)).toMatchObject({ version: '0.1.0' });
  });

  it('tells about itself, with commands in groups and the exit codes', async () => {
    const { exitCode, stdout } = await runHere(['--help']);
    expect(exitCode).toBe(EXIT.ok);
    for (const part of ['Work:', 'Look inside:', 'Run it:', 'task ', 'lrp ', 'up ', 'doctor ', 'Exit codes:', '255']) {
      expect(stdout).toContain(part);
    }
    expect(stdout).not.toContain('__complete');
  });

  it('shows help on stderr when there is no command, which is a usage error', async () => {
    const said = await runHere([]);
    expect(said).toMatchObject({ exitCode: EXIT.usage, stdout: '' });
    expect(said.stderr).toContain('Usage: rivera');
    expect((await runHere(['task'])).exitCode).toBe(EXIT.usage);
  });

  it.each([
    'task run',
    'task list',
    'task show',
    'task cancel',
    'task rm',
    'lrp run',
    'lrp list',
    'lrp show',
    'lrp scale',
    'lrp restart',
    'lrp rm',
    'cells',
    'domains',
    'events',
    'logs',
    'exec',
    'up',
    'server',
    'cell',
    'config',
    'cert authority',
    'cert issue',
    'rootfs build',
    'doctor',
    'completion',
  ])('has examples in the help of %s', async (command) => {
    const { exitCode, stdout } = await runHere([...command.split(' '), '--help']);
    expect(exitCode).toBe(EXIT.ok);
    expect(stdout).toContain(`Usage: rivera ${command}`);
    expect(stdout).toContain(`$ rivera ${command.split(' ')[0]}`.replace('$ rivera completion', 'rivera completion'));
  });

  it('describes every operand of every command', () => {
    const program = buildProgram(ioOf(), { exitCode: 0 });
    const silent = (command: Command): string[] =>
      command.commands
        .filter((each) => each.name() !== '__complete')
        .flatMap((each) => [
          ...each.registeredArguments
            .filter(({ description }) => description === '')
            .map((operand) => `${command.name()} ${each.name()}: ${operand.name()}`),
          ...silent(each),
        ]);
    expect(silent(program)).toEqual([]);
  });

  it('shows help with the common options where a command has none of its own', async () => {
    const none = (await runHere(['lrp', 'show', '--help'])).stdout;
    expect(none).not.toContain('Options:');
    expect(none).toMatch(/Output:\n(?: .*\n)* {2}-h, --help/);
    const some = (await runHere(['lrp', 'list', '--help'])).stdout;
    expect(some).toMatch(/\nOptions:\n {2}--domain .*\n {2}-h, --help/);
    expect((await runHere(['task', '--help'])).stdout).toMatch(/\nOptions:\n {2}-h, --help/);
  });

  it('ends with 255 for an unknown command or option, and suggests what was meant', async () => {
    const command = await runHere(['tsak']);
    expect(command.exitCode).toBe(EXIT.unknownCommand);
    expect(command.stderr).toMatch(/^rivera: unknown command 'tsak'\n {2}Did you mean task\?\n/);
    const sub = await runHere(['lrp', 'shwo']);
    expect(sub.exitCode).toBe(EXIT.unknownCommand);
    expect(sub.stderr).toContain('Did you mean show?');
    const option = await runHere(['lrp', 'list', '--jsn']);
    expect(option.exitCode).toBe(EXIT.unknownCommand);
    expect(option.stderr).toContain('Did you mean --json?');
    expect(option.stdout).toBe('');
  });

  it.each([
    ['a missing argument', ['lrp', 'scale', 'hello'], /missing required argument 'instances'/],
    ['an extra argument', ['lrp', 'show', 'a', 'b'], /too many arguments/],
    ['a malformed number', ['lrp', 'scale', 'hello', 'three'], /'three'/],
    ['a number out of bounds', ['lrp', 'scale', 'hello', '10001'], /10000/],
    ['a malformed size', ['task', 'run', '--memory', 'much', '--', 'true'], /'much' is not a size/],
    ['a malformed duration', ['domains', 'set', 'd', '--ttl', '3 y'], /'3 y' is not a duration/],
    ['an unknown kind', ['events', '--kind', 'taks'], /Did you mean 'task'\?/],
    ['an unknown shell', ['completion', 'tcsh'], /bash, zsh, fish/],
    ['nothing to run', ['task', 'run'], /nothing to run/],
    ['options that exclude each other', ['events', '--new', '--resume', 'x'], /exclude each other/],
  ])('ends with 3 for %s', async (_, args, message) => {
    const { exitCode, stdout, stderr } = await runHere(args);
    expect(exitCode).toBe(EXIT.usage);
    expect(stderr).toMatch(message);
    expect(stdout).toBe('');
  });

  it('prints the usage of the command for mistakes in arguments', async () => {
    expect((await runHere(['lrp', 'scale', 'hello'])).stderr).toContain(
      'Usage: rivera lrp scale [options] <name> <instances>',
    );
  });

  it('ends with 3 and the remedy when no server is known', async () => {
    const { exitCode, stderr } = await runHere(['cells']);
    expect(exitCode).toBe(EXIT.usage);
    expect(stderr).toMatch(/no server is known[\s\S]*rivera up[\s\S]*--servers[\s\S]*RIVERA_SERVERS/);
  });

  it('ends with 3 when a certificate can not be read', async () => {
    const { exitCode, stderr } = await runHere([
      'cells',
      '--servers',
      'localhost:1',
      '--ca',
      '/x',
      '--cert',
      '/y',
      '--key',
      '/z',
    ]);
    expect(exitCode).toBe(EXIT.usage);
    expect(stderr).toContain('/x');
  });
});
